"""Epilogues: nests that can follow a kernel row by row, while its rows are in cache."""

from __future__ import annotations

from attrs import evolve

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.lower import lower
from rxcore.compiler.schedule import schedule
from rxcore.ir.graph import Equation, Value
from rxcore.loops.grid import grid_loop
from rxcore.loops.nest import Kind, Load, Loop, Nest, Statement, walk


def epilogue(
    equation: Equation, value: Value, rows: int, capabilities: Capabilities
) -> Nest | None:
    """Return the Nest of a fused group that runs over the rows of one operand.

    Args:
        equation: the group.
        value: the kernel's result, one of the group's operands.
        rows: how many rows the kernel's last step runs over.
        capabilities: of the device.

    Returns:
        A Nest whose grid is those rows and which reads `value` only in its own row,
        or None where there is no such Nest.
    """
    shape = equation.params["shape"]
    if rows < 2 or value.type.size % rows or not shape or shape[0] != rows:
        return None
    plain = lower(equation)
    rowed = not equation.params["axes"]
    made = (rowwise(plain),) if rowed else schedule(plain, capabilities)
    nest = made[0] if len(made) == 1 else None
    if nest is None:
        return None
    grid = grid_loop(nest)
    if grid is None or grid.extent != rows:
        return None
    buffer = f"in{equation.inputs.index(value)}"
    width = value.type.size // rows
    return nest if _stays_in_row(nest, grid, buffer, width) else None


def rowwise(nest: Nest) -> Nest | None:
    """Return an elementwise Nest with the outermost loop as its grid."""
    loops = [s for s in nest.body if isinstance(s, Loop)]
    if len(loops) != 1 or loops[0].kind != "parallel" or loops[0].accumulators:
        return None

    def refined(s: Statement) -> Statement:
        if not isinstance(s, Loop):
            return s
        inner = any(isinstance(b, Loop) for b in s.body)
        kind: Kind = "serial" if inner else "item"
        return evolve(s, kind=kind, body=tuple(map(refined, s.body)))

    outer = evolve(loops[0], kind="group", body=tuple(map(refined, loops[0].body)))
    body = tuple(outer if s is loops[0] else s for s in nest.body)
    return evolve(nest, body=body)


def _stays_in_row(nest: Nest, grid: Loop, buffer: str, width: int) -> bool:
    extents = {s.index: s.extent for s in walk(nest.body) if isinstance(s, Loop)}
    for s in walk(nest.body):
        if not isinstance(s, Load) or s.buffer != buffer:
            continue
        if s.index.coefficient(grid.index) != width or s.index.constant < 0:
            return False
        reach = s.index.constant
        for name, c in s.index.terms:
            if name == grid.index:
                continue
            extent = extents.get(name)
            if not isinstance(extent, int) or c < 0:
                return False
            reach += c * (extent - 1)
        if reach >= width:
            return False
    return True
