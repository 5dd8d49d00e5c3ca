"""Einstein summation: any number of operands, contracted two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rxcore.base import dtypes, errors
from rxcore.base.lazy import LazyModule
from rxcore.ir.primitive import REGISTRY
from rxcore.ops import shape as maps
from rxcore.ops.contract import bind_contract, letter
from rxcore.ops.families import promote
from rxcore.ops.iota import broadcasted_iota
from rxcore.trace.bind import as_numeric

__all__ = ["einsum"]

opt_einsum = LazyModule("opt_einsum")


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    optimize: Any = "auto",
    preferred_element_type: Any = None,
) -> Any:
    """Multiply arrays and sum over labels, by Einstein's convention.

    **Meaning**: `np.einsum(subscripts, *operands)`

    Args:
        subscripts: `"ij,jk->ik"`: a letter for each axis; letters that the result
            lacks are summed over; without `->` the result has the letters that occur
            once, in alphabetical order; `...` stands for axes that broadcast. Or the
            first operand, in the form `einsum(x, [0, 1], y, [1, 2], [0, 2])`.
        *operands: arrays.
        optimize: how opt_einsum chooses the order of three and more operands; False
            takes them from left to right.
        preferred_element_type: the dtype in which to multiply and answer.

    Returns:
        Array of the operands' common dtype.

    Raises:
        ShapeError: when labels and shapes do not fit.

    Example:
        >>> import rxcore as rx
        >>> x = rx.asarray([[1, 2], [3, 4]])
        >>> rx.einsum("ij,jk->ik", x, x)
        Array([[ 7, 10],
               [15, 22]], dtype=int32)
        >>> rx.einsum("ii", x)
        Array(5, dtype=int32)

    Paper: Smith and Gray, "opt_einsum", Journal of Open Source Software 3 (2018).
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _from_lists(subscripts, operands)
    xs = promote([as_numeric(x, "einsum") for x in operands])
    if preferred_element_type is not None:
        dtype = dtypes.as_dtype(preferred_element_type)
        xs = [REGISTRY["convert"].bind(x, dtype=dtype) for x in xs]
    labels, out = _parse(subscripts, [x.shape for x in xs])
    pairs = [_plain(x, s) for x, s in zip(xs, labels, strict=True)]
    pairs, sizes = _unstretch(pairs, subscripts)
    xs, labels = [x for x, _ in pairs], [s for _, s in pairs]
    for chosen in _path(xs, labels, out, optimize):
        taken = [(xs.pop(i), labels.pop(i)) for i in sorted(chosen, reverse=True)]
        kept = set(out).union(*labels)
        x, s = _join(taken[::-1], kept)
        xs.append(x)
        labels.append(s)
    x, s = _reduce(xs[0], labels[0], set(out))
    return _arrange(x, s, out, sizes)


def _from_lists(first: Any, rest: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Turn `x, [0, 1], y, [1, 2], [0, 2]` into text and operands."""
    items = (first, *rest)
    count = len(items) // 2
    arrays = items[0 : 2 * count : 2]
    lists = [*items[1 : 2 * count : 2], *items[2 * count :]]
    texts = [
        "".join("..." if i is Ellipsis else letter(int(i)) for i in part)
        for part in lists
    ]
    text = ",".join(texts[:count])
    return (f"{text}->{texts[count]}" if len(texts) > count else text), tuple(arrays)


def _parse(text: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[str], str]:
    """Return the operands' labels and the result's, with dots written out."""
    compact = text.replace(" ", "")
    left, arrow, right = compact.partition("->")
    parts = left.split(",")
    if len(parts) != len(shapes):
        raise errors.ShapeError(
            f"einsum: {text!r} names {len(parts)} operands, got {len(shapes)}"
        )
    fresh = _dots(compact, parts, shapes, text)
    labels = [
        _spell(part, len(shape), fresh, text)
        for part, shape in zip(parts, shapes, strict=True)
    ]
    every = "".join(labels)
    if not arrow:
        once = sorted({c for c in every if every.count(c) == 1 and c not in fresh})
        return labels, fresh + "".join(once)
    out = right.replace("...", fresh)
    unknown = set(out) - set(every)
    if unknown or len(set(out)) != len(out):
        raise errors.ShapeError(
            f"einsum: the result of {text!r} must name labels of the operands, each"
            " once"
        )
    return labels, out


def _dots(
    compact: str, parts: Sequence[str], shapes: Sequence[tuple[int, ...]], text: str
) -> str:
    """Return fresh labels for the axes that `...` stands for, the most needed."""
    width = 0
    for part, shape in zip(parts, shapes, strict=True):
        if part.count(".") not in (0, 3) or ("." in part and "..." not in part):
            raise errors.ShapeError(f"einsum: {text!r} has a dot outside of '...'")
        if "..." in part:
            width = max(width, len(shape) - len(part) + 3)
    found: list[str] = []
    number = 0
    while len(found) < width:
        if letter(number) not in compact:
            found.append(letter(number))
        number += 1
    return "".join(found)


def _spell(part: str, ndim: int, fresh: str, text: str) -> str:
    """Write out the dots of one operand; check the number of labels."""
    count = ndim - len(part.replace("...", ""))
    full = part.replace("...", fresh[len(fresh) - count :] if count > 0 else "")
    if len(full) != ndim:
        raise errors.ShapeError(
            f"einsum: {part!r} in {text!r} names {len(full)} axes, its operand has"
            f" {ndim}"
        )
    return full


def _plain(x: Any, labels: str) -> tuple[Any, str]:
    """Take diagonals, so that no label occurs twice in one operand."""
    while len(set(labels)) < len(labels):
        name = next(c for c in labels if labels.count(c) > 1)
        i = labels.index(name)
        j = labels.index(name, i + 1)
        n = x.shape[i]
        if x.shape[j] != n:
            raise errors.ShapeError(
                f"einsum: label {name!r} names axes of lengths {n} and {x.shape[j]} of"
                f" one operand of shape {x.shape}"
            )
        line = broadcasted_iota(dtypes.int32, (n,), 0)
        x = REGISTRY["gather"].bind(
            x, line, line, axes=(i, j), place=i, mode="clip", fill=None
        )
        labels = labels[:j] + labels[j + 1 :]
    return x, labels


def _unstretch(
    pairs: Sequence[tuple[Any, str]], text: str
) -> tuple[list[tuple[Any, str]], dict[str, int]]:
    """Drop axes of length 1 that stretch to the length another operand gives."""
    sizes: dict[str, int] = {}
    for x, labels in pairs:
        for name, n in zip(labels, x.shape, strict=True):
            if sizes.setdefault(name, n) == 1:
                sizes[name] = n
            elif n not in (1, sizes[name]):
                raise errors.ShapeError(
                    f"einsum: label {name!r} of {text!r} has lengths {sizes[name]} and"
                    f" {n} (operands of shapes {[y.shape for y, _ in pairs]})"
                )
    found = []
    for x, labels in pairs:
        thin = [
            i for i, name in enumerate(labels) if x.shape[i] == 1 and sizes[name] != 1
        ]
        if thin:
            x = maps.squeeze(x, tuple(thin))
            labels = "".join(c for i, c in enumerate(labels) if i not in thin)
        found.append((x, labels))
    return found, sizes


def _path(
    xs: Sequence[Any], labels: Sequence[str], out: str, optimize: Any
) -> list[tuple[int, ...]]:
    """Return which operands to join, one pair after the other."""
    if len(xs) == 1:
        return []
    if len(xs) == 2 or optimize is False:
        # What a pair gives goes to the end: the first operand comes last again.
        return [(0, 1), *((0, len(xs) - 2 - i) for i in range(len(xs) - 2))]
    text = f"{','.join(labels)}->{out}"
    way = "auto" if optimize is True else optimize
    shapes = [x.shape for x in xs]
    path, _ = opt_einsum.contract_path(text, *shapes, shapes=True, optimize=way)
    return [pair for step in path for pair in _in_pairs(tuple(step), len(xs))]


def _in_pairs(step: tuple[int, ...], count: int) -> list[tuple[int, ...]]:
    """Return a step of the path, if it is one pair (or one operand alone)."""
    if len(step) > 2:
        raise errors.UserError(
            f"einsum: the path joins {len(step)} of {count} operands at once; use"
            " optimize='auto', 'greedy' or 'optimal'"
        )
    return [step] if len(step) == 2 else []


def _join(taken: Sequence[tuple[Any, str]], kept: set[str]) -> tuple[Any, str]:
    """Contract two operands; keep the labels that are still needed."""
    (x, a), (y, b) = taken
    x, a = _reduce(x, a, kept | set(b))
    y, b = _reduce(y, b, kept | set(a))
    out = "".join(c for c in dict.fromkeys(a + b) if c in kept)
    return bind_contract(x, y, a, b, out), out


def _reduce(x: Any, labels: str, kept: set[str]) -> tuple[Any, str]:
    """Sum over labels that nothing else needs."""
    gone = tuple(i for i, c in enumerate(labels) if c not in kept)
    if not gone:
        return x, labels
    rest = "".join(c for c in labels if c in kept)
    return REGISTRY["sum"].bind(x, axes=gone), rest


def _arrange(x: Any, labels: str, out: str, sizes: dict[str, int]) -> Any:
    """Put the axes into the result's order; stretch those that were dropped."""
    present = [c for c in out if c in labels]
    x = maps.transpose(x, tuple(labels.index(c) for c in present))
    if len(present) == len(out):
        return x
    shape = tuple(sizes[c] for c in out)
    return maps.broadcast(x, shape, tuple(out.index(c) for c in present))
