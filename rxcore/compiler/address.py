"""Index arithmetic: from axes to flat offsets and back, on affine forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rxcore.loops.nest import Index

Indices = tuple[Index, ...]


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the element strides of a dense row-major shape."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def flatten(index: Sequence[Index], shape: Sequence[int]) -> Index:
    """Return the flat offset of an index into a dense row-major shape."""
    flat = Index()
    for part, size, stride in zip(index, shape, strides_of(shape), strict=True):
        if size != 1:
            flat = flat + part * stride
    return flat


def delinearize(
    flat: Index, shape: Sequence[int], extents: Mapping[str, int]
) -> Indices | None:
    """Split a flat offset over axes; None where its terms do not fit.

    An axis takes the terms whose coefficient is a multiple of its stride; what it
    then holds must stay inside the axis for all values of the names.

    >>> delinearize(Index(0, (("i", 6), ("j", 1))), (2, 3, 2), {"i": 2, "j": 2})
    (Index(constant=0, terms=(('i', 1),)), Index(constant=0, terms=()), \
Index(constant=0, terms=(('j', 1),)))
    """
    if any(n not in extents for n, _ in flat.terms):
        return None
    # A loop that runs backwards is one that runs forwards, seen from its other end.
    backward = {n for n, c in flat.terms if c < 0}
    if backward:
        found = delinearize(_mirrored(flat, backward, extents), shape, extents)
        if found is None:
            return None
        return tuple(_mirrored(part, backward, extents) for part in found)
    if 0 in shape:
        # Nothing is read: any index will do.
        return tuple(Index() for _ in shape)
    parts: list[Index] = []
    rest = flat
    if rest.constant < 0:
        return None
    for size, stride in zip(shape, strides_of(shape), strict=True):
        if size == 1:
            parts.append(Index())
            continue
        mine = tuple(
            (n, c // stride)
            for n, c in rest.terms
            if c % stride == 0 and c // stride * (extents[n] - 1) < size
        )
        constant = rest.constant // stride
        if sum(c * (extents[n] - 1) for n, c in mine) + constant >= size:
            return None
        part = Index(constant, mine)
        parts.append(part)
        rest = rest + part * -stride
    return tuple(parts) if rest == Index() else None


def _mirrored(index: Index, names: set[str], extents: Mapping[str, int]) -> Index:
    """Return an index in which some loops count from their other end."""
    constant = index.constant
    terms = []
    for n, c in index.terms:
        if n in names:
            constant += c * (extents[n] - 1)
        terms.append((n, -c if n in names else c))
    return Index(constant, tuple(terms))
