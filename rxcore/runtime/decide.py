"""Decide: where a call is done first, for the whole program at once.

A `Record` remembers of one Graph what it would take on each target, where equal calls
ran, and which arguments come again: a weight's way to a device is paid once.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from attrs import define, field

from rxcore.base import config
from rxcore.runtime.array import Array
from rxcore.runtime.cost import Choice, Option, choose, upload_seconds
from rxcore.runtime.device_program import DeviceDraft
from rxcore.runtime.devices import Target, Unsupported
from rxcore.runtime.places import plan_arena, plan_blocks
from rxcore.runtime.pricing import MARKET, Price
from rxcore.runtime.program import assembled, optimized_of, sources_of
from rxcore.runtime.variants import Variants

__all__ = [
    "Record",
    "decide",
    "name_of",
    "needs_of",
    "options_of",
    "price_of",
    "record_of",
]

# So many observed runs settle a choice.
_SETTLED = 3


@define(eq=False)
class Record:
    """What is known of one Graph's calls.

    Args:
        prices: for each target a Price, or why it cannot run there.
        current: where the last call ran.
        seen: for each argument the array that came last, and how often in a row.
    """

    prices: dict[Any, Price | str] = field(factory=dict)
    current: str | None = None
    seen: dict[int, tuple[Any, int]] = field(factory=dict)

    def uses(self, k: int, x: Array) -> int:
        """Return how many calls are expected to use argument k's copy on a device."""
        reference, count = self.seen.get(k, (None, 0))
        return count + 1 if reference is not None and reference() is x else 1

    def note(self, args: Sequence[Array]) -> None:
        """Note the arguments of a call."""
        self.seen = {k: (weakref.ref(x), self.uses(k, x)) for k, x in enumerate(args)}


def record_of(variants: Variants) -> Record:
    """Return the Record of a Graph's programs."""
    if variants.record is None:
        variants.record = Record()
    found: Record = variants.record
    return found


def name_of(target: Target | None) -> str:
    """Return a target's name."""
    return "cpu" if target is None else target.name


def price_of(variants: Variants, target: Target | None) -> Price | str:
    """Return what a Graph would take on a target, or why it cannot run there."""
    record = record_of(variants)
    fixed = config.current().deterministic_placement
    key = (target, None if target is None else target.facts.kind, fixed)
    found = record.prices.get(key)
    if found is None:
        found = record.prices[key] = _price(variants, target)
    return found


def _price(variants: Variants, target: Target | None) -> Price | str:
    model = MARKET.model(target)
    if target is None:
        made, specs = assembled(optimized_of(variants.graph))
        needs = plan_arena(made.memories) + sum(s.nbytes for s in specs)
        return MARKET.price(model, made.works, sources_of(made), needs)
    try:
        draft = variants.draft(target)
    except Unsupported as reason:
        return str(reason)
    return MARKET.price(model, draft.works, draft.sources, needs_of(draft))


def needs_of(draft: DeviceDraft) -> int:
    """Return the bytes that a call needs beside its arguments."""
    blocks, _ = plan_blocks(draft.memories)
    return sum(blocks) + sum(n for n, alias in draft.specs if alias < 0)


def options_of(
    variants: Variants, args: Sequence[Array], targets: Sequence[Target | None]
) -> list[Option]:
    """Return what a call would take on each target, from where its arguments are."""
    record = record_of(variants)
    return [_option(variants, record, args, target) for target in targets]


def _option(
    variants: Variants, record: Record, args: Sequence[Array], target: Target | None
) -> Option:
    price = price_of(variants, target)
    if isinstance(price, str):
        return Option(name_of(target), float("inf"), refusal=price)
    run = MARKET.corrected(price, target)
    if target is None:
        moves = sum(
            MARKET.model(a.home).profile.down.seconds(a.type.nbytes)
            for a in args
            if not a.on_host
        )
        return Option("cpu", run, moves, price.needs)
    profile = MARKET.model(target).profile
    absent = [
        (a.type.nbytes, record.uses(k, a))
        for k, a in enumerate(args)
        if not a.is_on(target)
    ]
    moves = upload_seconds(absent, profile.up)
    for a in args:
        if not a.on_host and not a.is_on(target):
            moves += MARKET.model(a.home).profile.down.seconds(a.type.nbytes)
    needs = price.needs + sum(n for n, _ in absent)
    return Option(target.name, run, moves, needs, target.room)


def decide(
    variants: Variants, args: Sequence[Array], targets: Sequence[Target]
) -> tuple[Choice, Target | None, bool]:
    """Decide where a call runs.

    Returns:
        The choice, its target, and whether equal calls will go there too.
    """
    record = record_of(variants)
    every: list[Target | None] = [None, *targets]
    options = options_of(variants, args, every)
    fixed = config.current().deterministic_placement
    choice = choose(options, record.current, fixed)
    record.current = choice.device
    target = next(t for t in every if name_of(t) == choice.device)
    record.note(args)
    return choice, target, fixed or _settled(variants, choice, target, options)


def _settled(
    variants: Variants, choice: Choice, target: Target | None, options: list[Option]
) -> bool:
    """Say whether neither more runs nor arguments that come again would change it."""
    price = price_of(variants, target)
    if isinstance(price, str) or MARKET.count(price, target) < _SETTLED:
        return False
    mine = next(o for o in options if o.device == choice.device)
    return all(o is mine or o.run >= mine.seconds for o in options if not o.refusal)
