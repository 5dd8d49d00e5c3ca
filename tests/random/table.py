"""Draws whose reference values are kept: the name, arguments and options of each.

`python -m tests.random.table` writes the values that jax gives into reference.json.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

PLACE = pathlib.Path(__file__).parent / "reference.json"
SEEDS = (0, 42, -1, 2**31 - 1)
SHAPES: tuple[tuple[int, ...], ...] = ((), (5,), (3, 4), (2, 0))
HALVES = ("float16", "bfloat16")
WIDE = ("float64", "int64", "uint64")

Entry = tuple[str, tuple[Any, ...], dict[str, Any]]

LOGITS = (np.arange(12, dtype=np.float32).reshape(3, 4) * 7 % 5) / 4
CHANCES = np.float32([0.1, 0.2, 0.05, 0.4, 0.25])
ROWS = np.arange(12, dtype=np.int32).reshape(3, 4)


def exact() -> Iterator[Entry]:
    """Yield draws that are equal bit for bit."""
    yield "split", (), {}
    yield "split", (5,), {}
    yield "split", ((2, 3),), {}
    for data in (0, 1, 2**31 - 1):
        yield "fold_in", (data,), {}
    for shape in SHAPES:
        for dtype in ("uint8", "uint16", "uint32", "uint64"):
            yield "bits", (shape,), {"dtype": dtype}
        for dtype in ("float32", "float64", *HALVES):
            yield "uniform", (shape,), {"dtype": dtype}
        yield "uniform", (shape,), {"minval": -3.0, "maxval": 7.0}
        yield "bernoulli", (0.3, shape), {}
        yield "rademacher", (shape,), {}
        for low, high, dtype in (
            (0, 10, "int32"),
            (-5, 1_000_000, "int32"),
            (-(2**31), 2**31 - 1, "int32"),
            (3, 3, "int32"),
            (0, 256, "uint8"),
            (-128, 128, "int8"),
            (-5, 2**50, "int64"),
        ):
            yield "randint", (shape, low, high), {"dtype": dtype}
    for n in (0, 1, 7, 300):
        yield "permutation", (n,), {}
    for axis in (0, 1):
        for independent in (False, True):
            yield "permutation", (ROWS, axis), {"independent": independent}
    yield "categorical", (LOGITS,), {}
    yield "categorical", (LOGITS,), {"axis": 0}
    yield "categorical", (LOGITS,), {"shape": (6, 3)}
    yield "choice", (9, (4, 2)), {}
    yield "choice", (9, (4,)), {"replace": False}
    yield "choice", (ROWS, (5,)), {"axis": 1}
    yield "choice", (5, (6,)), {"p": CHANCES}
    yield "choice", (5, (3,)), {"p": CHANCES, "replace": False}


def rounded() -> Iterator[Entry]:
    """Yield draws that are equal up to the rounding of mathematical functions."""
    for shape in SHAPES:
        for dtype in ("float32", "float64", *HALVES):
            yield "normal", (shape,), {"dtype": dtype}
        for name in ("exponential", "gumbel", "laplace", "logistic"):
            yield name, (shape,), {}
        yield "truncated_normal", (-1.0, 2.0, shape), {}


def named(entry: Entry) -> str:
    """Return the name of a draw in the table."""
    name, args, options = entry
    shown = [_shown(a) for a in args] + [f"{k}={_shown(v)}" for k, v in options.items()]
    return f"{name}({', '.join(shown)})"


def _shown(value: Any) -> str:
    return str(value.tolist()) if isinstance(value, np.ndarray) else str(value)


def bits_of(x: Any) -> dict[str, Any]:
    """Return an array as its dtype, its shape, and its bits as integers."""
    host = np.ascontiguousarray(x)
    words = host.reshape(-1).view(f"u{host.dtype.itemsize}").tolist()
    return {"dtype": host.dtype.name, "shape": list(np.shape(x)), "bits": words}


def needs_wide(entry: Entry) -> bool:
    """Say whether jax must be told to use 64 bits."""
    return entry[2].get("dtype") in WIDE


def main() -> None:
    """Write the values that jax gives."""
    import jax  # noqa: PLC0415 - needed here alone

    found = {}
    for seed in SEEDS:
        for entry in (*exact(), *rounded()):
            name, args, options = entry
            with jax.enable_x64(needs_wide(entry)):
                key = jax.random.PRNGKey(np.int32(seed))
                draw = getattr(jax.random, name)
                value = draw(key, *args, **options)
                found[f"{seed}: {named(entry)}"] = bits_of(np.asarray(value))
    lines = (f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items())
    PLACE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
