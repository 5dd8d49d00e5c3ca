"""Vectorize: innermost loops whose order is free become `item` loops."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from rxcore.compiler.capabilities import Capabilities
from rxcore.compiler.nest_passes.anatomy import (
    Body,
    all_loops,
    identity,
    reorderable,
)
from rxcore.compiler.nest_passes.names import (
    Fresh,
)
from rxcore.loops.nest import (
    Accumulate,
    Accumulator,
    If,
    Loop,
    Nest,
    Statement,
    walk,
)

__all__ = ["refined", "vectorize"]

Owners = Mapping[str, Accumulator]


def vectorize(nest: Nest, _capabilities: Capabilities) -> tuple[Nest, ...]:
    """Give every loop below the shared one its last kind, `item` or `serial`.

    An item loop that joins to an accumulator of a loop around it gets a private one,
    which joins when it ends.
    """
    fresh = Fresh(nest)
    body: list[Statement] = []
    for s in nest.body:
        if isinstance(s, Loop) and s.kind in ("group", "lane"):
            items = s.kind == "group"
            body.append(evolve(s, body=refined(s.body, {}, fresh, items=items)))
        else:
            body += refined((s,), {}, fresh, items=True)
    return (evolve(nest, body=tuple(body)),)


def refined(body: Body, owners: Owners, fresh: Fresh, *, items: bool) -> Body:
    """Return a body whose loops have their last kinds; `items` allows item loops."""
    out: list[Statement] = []
    for s in body:
        if isinstance(s, If):
            out.append(evolve(s, body=refined(s.body, owners, fresh, items=False)))
        elif not isinstance(s, Loop) or s.kind == "item":
            out.append(s)
        elif items and _is_free(s, owners):
            out += _private(evolve(s, kind="item"), owners, fresh)
        else:
            inner = {**owners, **{a.name: a for a in s.accumulators}}
            new = refined(s.body, inner, fresh, items=items)
            out.append(evolve(s, kind="serial", body=new))
    return tuple(out)


def _is_free(loop: Loop, owners: Owners) -> bool:
    if any(True for _ in all_loops(loop.body)):
        return False
    combines = {name: a.combine for name, a in owners.items()}
    return reorderable(loop, combines)


def _private(loop: Loop, owners: Owners, fresh: Fresh) -> Body:
    own = {a.name for a in loop.accumulators}
    joined = dict.fromkeys(s.name for s in walk(loop.body) if isinstance(s, Accumulate))
    shared = {name: fresh(f"{name}_part") for name in joined if name not in own}
    parts = tuple(
        Accumulator(
            part,
            owners[name].dtype,
            owners[name].combine,
            identity(owners[name].combine, owners[name].dtype),
        )
        for name, part in shared.items()
    )
    body = _redirected(loop.body, shared)
    new = evolve(loop, body=body, accumulators=(*loop.accumulators, *parts))
    return (new, *(Accumulate(name, part) for name, part in shared.items()))


def _redirected(body: Body, names: Mapping[str, str]) -> Body:
    out: list[Statement] = []
    for s in body:
        if isinstance(s, Accumulate):
            out.append(evolve(s, name=names.get(s.name, s.name)))
        elif isinstance(s, If):
            out.append(evolve(s, body=_redirected(s.body, names)))
        else:
            out.append(s)
    return tuple(out)
