"""When to prune and how much, and the pair of functions that follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors, tree
from rxcore.control.cond import cond
from rxcore.ops.convert import convert
from rxcore.prune.apply import apply, prunable
from rxcore.prune.leaves import fraction, known
from rxcore.prune.mask import prune_mask
from rxcore.prune.score import magnitude
from rxcore.prune.structure import NofM
from rxcore.trace.bind import as_numeric

__all__ = ["PruneState", "Pruner", "Schedule", "cubic", "gradual", "one_shot"]


@frozen
class Schedule:
    """A sparsity for each step, and the steps at which masks are made anew.

    **Meaning**::

        due(step) = begin <= step <= last and (step - begin) % frequency == 0
        done = np.clip((step - begin) // frequency * frequency / (last - begin), 0, 1)
        sparsity(step) = final + (initial - final) * (1 - done)**power

    where `last` is the last step not after `end` at which masks are made, so that its
    sparsity is exactly `final`.

    Args:
        begin: the first step at which masks are made.
        end: no masks are made after this step.
        frequency: steps from one time to the next.
        initial: the sparsity at `begin`, and before.
        final: the sparsity from `last` on.
        power: 3 is the cubic schedule, 1 a line.
    """

    begin: int
    end: int
    frequency: int
    initial: float
    final: float
    power: float = 3.0

    @property
    def last(self) -> int:
        """The last step at which masks are made."""
        return self.begin + (self.end - self.begin) // self.frequency * self.frequency

    def due(self, step: Any) -> Any:
        """Say whether masks are made at a step (an int, or a traced integer)."""
        step = _integer(step, "due")
        inside = (step >= self.begin) & (step <= self.last)
        return inside & ((step - self.begin) % self.frequency == 0)

    def sparsity(self, step: Any) -> Any:
        """Return the sparsity of a step: a float, or float64 where it is traced."""
        step = _integer(step, "sparsity")
        host = known(step)
        if host is not None and not step.ndim:
            times = (min(max(int(host), self.begin), self.last) - self.begin) // (
                self.frequency
            )
            return self._at(times * self.frequency / max(self.last - self.begin, 1))
        reached = rnp.clip(step, self.begin, self.last) - self.begin
        times = reached // self.frequency * self.frequency
        done = convert(times, dtypes.float64) / max(self.last - self.begin, 1)
        return self._at(done)

    def _at(self, done: Any) -> Any:
        if self.last == self.begin:
            return self.final + 0 * done
        return self.final + (self.initial - self.final) * (1 - done) ** self.power


def _steps(call: str, **given: Any) -> None:
    """Refuse numbers of steps that are no integers, or negative."""
    for name, value in given.items():
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < 0:
            raise errors.UserError(f"{call}: {name}={value!r}; expected an int >= 0")


def _integer(step: Any, what: str) -> Any:
    step = as_numeric(step, f"prune.Schedule.{what}")
    if not dtypes.is_integer(step.dtype):
        raise errors.DTypeError(
            f"prune.Schedule.{what}: step is {step.dtype.name} (shape {step.shape});"
            " expected an integer"
        )
    return step


def one_shot(sparsity: float, step: int = 0) -> Schedule:
    """Return a schedule that prunes once.

    **Meaning**: `due = step == at`, `sparsity` always

    Args:
        sparsity: the fraction removed, in [0, 1).
        step: when.

    Returns:
        A `Schedule`.

    Raises:
        UserError: when the sparsity is out of range.

    Example:
        >>> import rxcore as rx
        >>> rx.prune.one_shot(0.9, step=10).due(10)
        Array(True, dtype=bool)
    """
    fraction(sparsity, "sparsity", "prune.one_shot")
    _steps("prune.one_shot", step=step)
    return Schedule(step, step, 1, sparsity, sparsity)


def cubic(
    begin: int,
    end: int,
    frequency: int = 100,
    initial: float = 0.0,
    final: float = 0.9,
    *,
    power: float = 3.0,
) -> Schedule:
    """Return a schedule that removes much at first and little at last.

    **Meaning**, `last` being the last of `begin, begin + frequency, ...` up to `end`::

        done = np.clip((step - begin) // frequency * frequency / (last - begin), 0, 1)
        final + (initial - final) * (1 - done) ** power

    Args:
        begin: the first step at which masks are made.
        end: no masks are made after this step.
        frequency: steps from one time to the next.
        initial: the sparsity at `begin`, in [0, 1).
        final: the sparsity at the end, in [0, 1).
        power: 3, or another.

    Returns:
        A `Schedule`: `.due(step)` and `.sparsity(step)`, also inside `jit`.

    Raises:
        UserError: when the steps do not rise, or a sparsity is out of range.

    Example:
        >>> import rxcore as rx
        >>> schedule = rx.prune.cubic(0, 200, 100, final=0.8)
        >>> [round(schedule.sparsity(t), 3) for t in (0, 99, 100, 200, 999)]
        [0.0, 0.0, 0.7, 0.8, 0.8]

    Paper: Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning
    for model compression", 2017.
    """
    call = "prune.cubic"
    _steps(call, begin=begin, end=end, frequency=frequency)
    if not 0 <= begin <= end:
        raise errors.UserError(
            f"{call}: begin={begin}, end={end}; expected 0 <= begin <= end"
        )
    if frequency < 1:
        raise errors.UserError(f"{call}: frequency={frequency}; expected >= 1")
    if not power > 0:
        raise errors.UserError(f"{call}: power={power}; expected > 0")
    fraction(initial, "initial", call)
    fraction(final, "final", call)
    return Schedule(begin, end, frequency, initial, final, power)


@tree.register
@frozen
class PruneState:
    """The state of `gradual`.

    Args:
        step: int32, how many updates were made.
        masks: bool arrays like the parameters; None where nothing is pruned.
    """

    step: Any
    masks: Any


@frozen
class Pruner:
    """A pair of pure functions that prunes while training goes on.

    **Meaning**::

        state = pruner.init(params)
        params, state = pruner.update(params, state)  # after each optimizer step

    Args:
        init: takes the parameters; returns a `PruneState` that keeps everything.
        update: takes parameters, state and, where the score needs them, `scores=`;
            returns parameters with removed elements at 0, and the state.
    """

    init: Callable[..., PruneState]
    update: Callable[..., tuple[Any, PruneState]]


def gradual(
    schedule: Schedule,
    score: Callable[[Any], Any] = magnitude,
    *,
    scope: Literal["tensor", "global"] = "global",
    structure: Any = None,
    floor: int = 1,
    select: Callable[[Any], Any] = prunable,
) -> Pruner:
    """Return a pruner that follows a schedule.

    **Meaning**, in `update`::

        if schedule.due(state.step):
            scores = score(select(params))
            masks = prune_mask(scores, schedule.sparsity(state.step), ...)
        params = apply(params, masks)

    Masks are made on due steps only, inside `jit` too.

    Args:
        schedule: of `one_shot` or `cubic`.
        score: from parameters to scores; not called when `update` is given `scores=`.
        scope: as in `prune_mask`.
        structure: as in `prune_mask`; of `NofM` the schedule says only when.
        floor: as in `prune_mask`.
        select: puts None in place of leaves that are not pruned.

    Returns:
        A `Pruner`.

    Example:
        >>> import rxcore as rx
        >>> pruner = rx.prune.gradual(rx.prune.one_shot(0.5))
        >>> params = {"w": rx.asarray([[1.0, -2.0]]), "b": rx.asarray([3.0])}
        >>> params, state = pruner.update(params, pruner.init(params))
        >>> params["w"], params["b"]
        (Array([[ 0., -2.]], dtype=float32), Array([3.], dtype=float32))

    Paper: Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning
    for model compression", 2017.
    """

    def init(params: Any) -> PruneState:
        masks = tree.map_(lambda p: rnp.ones(p.shape, bool), select(params))
        return PruneState(rnp.asarray(0), masks)

    def update(
        params: Any, state: PruneState, *, scores: Any = None
    ) -> tuple[Any, PruneState]:
        def made(step: Any) -> Any:
            found = score(select(params)) if scores is None else scores
            # N of M says itself how much.
            share = None if isinstance(structure, NofM) else schedule.sparsity(step)
            options: Any = {"scope": scope, "structure": structure, "floor": floor}
            return prune_mask(found, share, **options)

        due = schedule.due(state.step)
        if known(due) is not None:
            masks = made(state.step) if bool(known(due)) else state.masks
        else:
            masks = cond(due, made, lambda _: state.masks, state.step)
        return apply(params, masks), PruneState(state.step + 1, masks)

    return Pruner(init, update)
