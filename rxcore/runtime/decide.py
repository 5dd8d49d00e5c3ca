"""Decide: where a call is done first, for the whole program at once.

A `Record` remembers of one Graph what it would take on each target, where equal calls
ran, and which arguments come again: a weight's way to a device is paid once.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any

from attrs import define, field, frozen

from rxcore.base import config
from rxcore.runtime.array import Array
from rxcore.runtime.cost import Choice, Option, Transfer, choose, upload_seconds
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
# A call that needs less than this finds room anywhere.
_SMALL = 1 << 24
_NOTHING = Transfer(0.0, 0.0)


@define(eq=False)
class Record:
    """What is known of one Graph's calls.

    Args:
        prices: for each target a Price, or why it cannot run there.
        offers: what options are made of, for each choice of targets.
        current: where the last call ran.
        seen: for each argument the array that came last, and how often in a row.
    """

    prices: dict[Any, Price | str] = field(factory=dict)
    offers: dict[Any, tuple[Offer, ...]] = field(factory=dict)
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


@frozen(eq=False)
class Offer:
    """What stays the same of one target's option, from call to call.

    Args:
        target: the target, None for the CPU.
        name: its name.
        price: the program's Price there, None where it cannot run.
        refusal: why not.
        seen: where what was learnt of equal programs is kept.
        up: copies from the host to there.
    """

    target: Target | None
    name: str
    price: Price | None
    refusal: str
    seen: tuple[Any, Any, int]
    up: Transfer = _NOTHING

    def option(self, record: Record, args: Sequence[Array], learns: bool) -> Option:
        """Return what a call would take, from where its arguments are now."""
        price, target = self.price, self.target
        if price is None:
            return Option(self.name, math.inf, refusal=self.refusal)
        run = price.seconds
        if learns:
            run *= MARKET.corrections.factor(*self.seen)
        if target is None:
            moves = 0.0
            for a in args:
                if not a.on_host:
                    moves += _down(a)
            return Option("cpu", run, moves, price.needs)
        moves, needs = 0.0, price.needs
        for k, a in enumerate(args):
            if not a.is_on(target):
                needs += a.type.nbytes
                moves += self._way(a, record.uses(k, a))
        # To count what is free takes longer than the rest: only where it may matter.
        room = target.room if needs > _SMALL else None
        return Option(self.name, run, moves, needs, room)

    def _way(self, x: Array, uses: int) -> float:
        """Return what it takes to bring an array there."""
        there = upload_seconds(((x.type.nbytes, uses),), self.up)
        return there if x.on_host else there + _down(x)


def _down(x: Array) -> float:
    """Return what it takes to fetch an array from its device."""
    return MARKET.model(x.home).profile.down.seconds(x.type.nbytes)


def offers_of(
    variants: Variants, targets: Sequence[Target | None]
) -> tuple[Offer, ...]:
    """Return the offers of targets for a Graph, made once."""
    record = record_of(variants)
    settings = config.current()
    key = (*targets, settings.deterministic_placement, settings.allow_opencl_cpu)
    found = record.offers.get(key)
    if found is None:
        found = record.offers[key] = tuple(_offer(variants, t) for t in targets)
    return found


def _offer(variants: Variants, target: Target | None) -> Offer:
    price, name = price_of(variants, target), name_of(target)
    if isinstance(price, str):
        return Offer(target, name, None, price, ("", name, 0))
    seen = (price.key, MARKET.label(target), price.bucket)
    return Offer(target, name, price, "", seen, MARKET.model(target).profile.up)


def options_of(
    variants: Variants, args: Sequence[Array], targets: Sequence[Target | None]
) -> list[Option]:
    """Return what a call would take on each target, from where its arguments are."""
    record = record_of(variants)
    learns = not config.current().deterministic_placement
    offers = offers_of(variants, targets)
    return [offer.option(record, args, learns) for offer in offers]


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
    if fixed:
        return choice, target, True
    record.note(args)
    return choice, target, _settled(variants, choice, target, options)


def _settled(
    variants: Variants, choice: Choice, target: Target | None, options: list[Option]
) -> bool:
    """Say whether neither more runs nor arguments that come again would change it."""
    price = price_of(variants, target)
    if isinstance(price, str) or MARKET.count(price, target) < _SETTLED:
        return False
    mine = next(o for o in options if o.device == choice.device)
    return all(o is mine or o.run >= mine.seconds for o in options if not o.refusal)
