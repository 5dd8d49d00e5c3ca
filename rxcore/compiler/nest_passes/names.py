"""Names: new ones, and changing those in use."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from rxcore.base import dtypes
from rxcore.compiler.nest_passes.anatomy import (
    Body,
    accesses,
    block_loops,
    definitions,
    operand_names,
)
from rxcore.loops.nest import (
    Block,
    Constant,
    If,
    Index,
    Let,
    Loop,
    Nest,
    Operand,
    Size,
    Statement,
    substitute,
)

__all__ = ["Fresh", "define_index", "rename"]


class Fresh:
    """Hands out names that a Nest does not use yet."""

    def __init__(self, nest: Nest) -> None:
        self._taken = definitions(nest.body)
        self._taken.update(b.name for b in nest.buffers)
        self._taken.update(s.name for s in nest.scratch)

    def __call__(self, base: str) -> str:
        """Return `base`, or `base` with a number behind it."""
        name, number = base, 1
        while name in self._taken:
            name = f"{base}_{number}"
            number += 1
        self._taken.add(name)
        return name


def rename(body: Body, changes: Mapping[str, Operand]) -> Body:
    """Put operands in the place of names, in indices too."""
    used = {name for s in accesses(body) for name in s.index.names()}
    indices: dict[str, Index] = {}
    for name in used & changes.keys():
        match changes[name]:
            case str() as new:
                indices[name] = Index.of(new)
            case Size() | Constant() as number:
                indices[name] = Index(int(number.value))
    return _rename_blocks(substitute(body, indices, changes), changes)


def _rename_blocks(body: Body, changes: Mapping[str, Operand]) -> Body:
    if not block_loops(body) & set(changes):
        return body

    def one(s: Statement) -> Statement:
        if isinstance(s, If):
            return evolve(s, body=tuple(map(one, s.body)))
        if not isinstance(s, Loop):
            return s
        extent = s.extent
        if isinstance(extent, Block):
            new = changes.get(extent.loop, extent.loop)
            if isinstance(new, str):
                extent = evolve(extent, loop=new)
        return evolve(s, extent=extent, body=tuple(map(one, s.body)))

    return tuple(map(one, body))


def define_index(
    body: Body, name: str, parts: Index, fresh: Fresh
) -> tuple[Body, Body]:
    """Say a loop index by an affine form of other indices.

    Returns:
        Lets that compute it as a scalar (none where only indices use it), and the
        body with the form in its place.
    """
    lets: list[Statement] = []
    names: dict[str, Operand] = {}
    if name in operand_names(body) | block_loops(body):
        total: Operand | None = None
        for term, factor in parts.terms:
            value: Operand = term
            if factor != 1:
                made = fresh(f"{name}_part")
                by = Constant(factor, dtypes.int64)
                lets.append(Let(made, dtypes.int64, "mul", (term, by)))
                value = made
            if total is None:
                total = value
            else:
                made = fresh(f"{name}_at")
                lets.append(Let(made, dtypes.int64, "add", (total, value)))
                total = made
        names[name] = total if total is not None else Constant(0, dtypes.int64)
    body = substitute(body, {name: parts}, names)
    return tuple(lets), _rename_blocks(body, names)
