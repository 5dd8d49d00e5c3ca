"""Golden OpenCL C: what small programs become on a device of our own.

`UPDATE_GOLDEN=1 python -m pytest tests/opencl/test_golden.py` writes them anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rxcore.numpy as rnp
from rxcore.ir.types import Type
from rxcore.runtime.device_program import DeviceDraft, draft, walk_steps
from rxcore.runtime.device_steps import Launched
from rxcore_kernels.opencl_facts import Facts
from tests.golden import test_golden as golden

FOLDER = Path(golden.__file__).parent / "texts" / "opencl"
# A card of our own, so that texts are the same on all machines.
CARD = Facts(units=36, fp64=True, denormals=True)
F, INT = golden.F, golden.INT

PROGRAMS: dict[str, tuple[Callable[..., Any], list[Type]]] = {
    name: golden.PROGRAMS[name]
    for name in (
        *("multiply_add", "mixed_dtypes", "tiled_transpose", "sum_large"),
        *("sum_columns", "softmax", "layer_norm", "concatenate", "gather"),
        *("argmax", "lane_scan", "momentum"),
    )
}
PROGRAMS |= {
    "short_rows": (lambda x: rnp.exp(x).sum(1), [Type(F, (1000, 5))]),
    "integers": (lambda i: i // 3 + i % 7, [Type(INT, (300,))]),
    "doubles": (lambda x: rnp.floor(x * 0.5), [Type(np.dtype("f8"), (30,))]),
}


def drafted(name: str) -> DeviceDraft:
    return draft(golden.whole(*PROGRAMS[name]), CARD)


def text_of(name: str) -> str:
    """Return the launches of a program, and the text of each kernel once."""
    made = drafted(name)
    parts = []
    for step, _ in walk_steps(made.steps):
        assert isinstance(step, Launched)
        parts.append(
            f"// {step.source.symbol} on {step.groups[0]} groups"
            f" with {', '.join(map(str, step.scalars))}\n"
        )
    parts += [source.text for source in made.sources]
    return "\n".join(parts)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_text_of_a_program(name: str) -> None:
    path = FOLDER / f"{name}.cl"
    text = text_of(name)
    if os.environ.get("UPDATE_GOLDEN", "") not in ("", "0"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing: UPDATE_GOLDEN=1 writes it"
    assert text == path.read_text(encoding="utf-8"), (
        f"{path.name} has changed; if that is meant, UPDATE_GOLDEN=1 writes it anew"
    )


def test_texts_have_programs() -> None:
    assert {p.stem for p in FOLDER.iterdir()} == set(PROGRAMS)
    assert {p.suffix for p in FOLDER.iterdir()} == {".cl"}


def larger(t: Type) -> Type:
    return t.with_shape(tuple(n + 16 for n in t.shape))


# A size is a number in the Graph of these: it wraps an index, or marks "none".
SIZED = ("gather", "argmax")


@pytest.mark.parametrize("name", [n for n in PROGRAMS if n not in SIZED])
def test_another_size_is_the_same_text(name: str) -> None:
    function, types = PROGRAMS[name]
    sources = drafted(name).sources
    graph = golden.whole(function, list(map(larger, types)))
    assert draft(graph, CARD).sources == sources
    assert sources


def test_texts_depend_on_no_hash() -> None:
    """Another process orders sets in another way."""
    code = (
        "from tests.opencl.test_golden import PROGRAMS, text_of\n"
        "print('\\n'.join(map(text_of, PROGRAMS)))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1] == "\n".join(map(text_of, PROGRAMS)) + "\n"
