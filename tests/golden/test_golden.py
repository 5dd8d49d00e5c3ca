"""Golden texts: what small programs become at each step of the line.

`UPDATE_GOLDEN=1 python -m pytest tests/golden` writes them anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.pipeline import optimize
from rxcore.ir.graph import Graph, subgraphs
from rxcore.ir.primitive import Fusion
from rxcore.ir.types import Type
from rxcore.runtime.assemble import Assembler
from rxcore.targets import cpu
from rxcore.trace.capture import capture

FOLDER = Path(__file__).parent / "texts"
# A machine of our own, so that texts are the same on all machines.
MACHINE = Capabilities(vector_bytes=64, cache_bytes=1 << 20, units=2)
F, INT = np.dtype("f4"), np.dtype("i4")


def softmax(x: Any) -> Any:
    e = rnp.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def layer_norm(x: Any, g: Any) -> Any:
    d = x - x.mean(1, keepdims=True)
    return d / rnp.sqrt((d * d).mean(1, keepdims=True) + 1e-5) * g


def leaky(x: Any) -> Any:
    def step(v: Any, i: Any) -> Any:
        u = 0.9 * v + i
        s = (u > 1).astype("float32")
        return u - s, s

    return rx.scan(step, rnp.zeros(x.shape[1]), x)[1]


def recurrent(x: Any, w: Any) -> Any:
    def step(h: Any, i: Any) -> Any:
        h = rnp.tanh(h @ w + i)
        return h, h

    return rx.scan(step, rnp.zeros(x.shape[1]), x)[1]


def momentum(p: Any, m: Any, g: Any) -> Any:
    m = 0.9 * m + g
    return {"p": p - 0.1 * m, "m": m}


PROGRAMS: dict[str, tuple[Callable[..., Any], list[Type]]] = {
    "multiply_add": (lambda x, y: x * 2 + y, [Type(F, (8,)), Type(F, (8,))]),
    "mixed_dtypes": (lambda x, i: x * i + (x > 0), [Type(F, (3, 4)), Type(INT, (4,))]),
    "transpose_add": (lambda a: a + a.T, [Type(F, (6, 6))]),
    "tiled_transpose": (lambda a: a + a.T, [Type(F, (256, 256))]),
    "sum_all": (lambda x: x.sum(), [Type(F, (5, 7))]),
    "sum_large": (lambda x: (x * x).sum(), [Type(F, (1 << 17,))]),
    "sum_columns": (lambda x: x.sum(0), [Type(F, (9, 300))]),
    "softmax": (softmax, [Type(F, (4, 10))]),
    "layer_norm": (layer_norm, [Type(F, (4, 10)), Type(F, (10,))]),
    "softmax_gradient": (
        rx.grad(lambda x: (softmax(x) ** 2).sum()),
        [Type(F, (4, 10))],
    ),
    "concatenate": (lambda a, b: rnp.concatenate([a, b * 2]), [Type(F, (3,))] * 2),
    "pad_slice": (lambda x: rnp.pad(x, 1)[:, ::2], [Type(F, (3, 4))]),
    "gather": (lambda x, i: x[i] + 1, [Type(F, (5, 2)), Type(INT, (3,))]),
    "scatter": (lambda x, i: x.at[i].add(1), [Type(F, (5,)), Type(INT, (3,))]),
    "argmax": (lambda x: x.argmax(1), [Type(F, (3, 4))]),
    "dense": (
        lambda a, w, b: rnp.maximum(a @ w + b, 0),
        [Type(F, (64, 32)), Type(F, (32, 48)), Type(F, (48,))],
    ),
    "momentum": (momentum, [Type(F, (10,))] * 3),
    "vmap": (rx.vmap(lambda x, y: x * y.sum()), [Type(F, (3, 2)), Type(F, (3, 4))]),
    "nested_jit": (rx.jit(lambda x: rx.jit(rnp.sin)(x) * 2), [Type(F, (3,))]),
    "dead_and_equal": (lambda x: (x + 1) * (1 + x) + 0 * len([x * 3]), [Type(F, ())]),
    "lane_scan": (leaky, [Type(F, (10, 64))]),
    "loop_scan": (recurrent, [Type(F, (10, 8)), Type(F, (8, 8))]),
    "cond": (
        lambda p, x: rx.cond(p, lambda v: v + 1, lambda v: v * 2, x),
        [Type(np.dtype("?"), ()), Type(F, (3,))],
    ),
    "while_loop": (
        lambda x: rx.while_loop(lambda v: v.sum() < 9, lambda v: v * 2, x),
        [Type(F, (3,))],
    ),
}
SOURCES = ("multiply_add", "sum_all", "softmax", "lane_scan")


def whole(function: Callable[..., Any], types: list[Type]) -> Graph:
    def flat(*args: Any) -> list[Any]:
        return list(rx.tree.leaves(function(*args)))

    return capture(flat, types).graph


def scheduled(graph: Graph) -> list[str]:
    """Return the Nests of the fused groups of a Graph, as text."""
    assembler = Assembler(MACHINE)
    found: list[str] = []
    for e in graph.equations:
        if isinstance(e.primitive.lower, Fusion):
            found += [str(nest) for nest, *_ in assembler.group(e)]
        for inner in (
            () if isinstance(e.primitive.lower, Fusion) else subgraphs(e.params)
        ):
            found += scheduled(inner)
    return found


def check(name: str, text: str) -> None:
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN", "") not in ("", "0"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing: UPDATE_GOLDEN=1 writes it"
    assert text == path.read_text(encoding="utf-8"), (
        f"{name} has changed; if that is meant, UPDATE_GOLDEN=1 writes it anew"
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_line(name: str) -> None:
    graph = whole(*PROGRAMS[name])
    optimized = optimize(graph)
    parts = ["# captured", str(graph), "# optimized", str(optimized), "# nests"]
    check(f"{name}.txt", "\n\n".join([*parts, *scheduled(optimized)]) + "\n")


@pytest.mark.parametrize("name", SOURCES)
def test_the_text_of_a_kernel(name: str) -> None:
    optimized = optimize(whole(*PROGRAMS[name]))
    assembler = Assembler(MACHINE)
    texts = [
        cpu.emit(nest, bits=512).source.text
        for e in optimized.equations
        if isinstance(e.primitive.lower, Fusion)
        for nest, *_ in assembler.group(e)
    ]
    check(f"{name}.ll", "\n".join(texts))


def test_texts_have_programs() -> None:
    known = {f"{n}.txt" for n in PROGRAMS} | {f"{n}.ll" for n in SOURCES}
    assert {p.name for p in FOLDER.iterdir() if p.is_file()} == known
