"""explain: where a call would run, what it would take on each target, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import evolve

from rxcore.base import errors, tree
from rxcore.control.effects import ShapeDtypeStruct
from rxcore.control.explanation import Estimate, Explanation
from rxcore.control.jit import jit
from rxcore.ir.types import Type
from rxcore.runtime import decide, devices
from rxcore.runtime.array import Array
from rxcore.runtime.cost import (
    SHIPPED,
    Model,
    Option,
    Profile,
    Transfer,
    choose,
    load,
    shipped,
    upload_seconds,
)
from rxcore.runtime.decide import name_of
from rxcore.runtime.device_program import draft
from rxcore.runtime.devices import Target, Unsupported
from rxcore.runtime.placement import asked
from rxcore.runtime.pricing import MARKET, Price
from rxcore.runtime.variants import Variants
from rxcore.trace.tracer import Tracer

__all__ = ["explain"]


def explain(
    fun: Callable[..., Any],
    devices: str | Sequence[str] | None = None,
    *,
    resident: str | None = None,
) -> Callable[..., Explanation]:
    """Say where a call would run, what it would take on each device, and why.

    **Meaning**: the cost model's own numbers. For each kernel,
    `launch + (memory**4 + arithmetic**4 + serial**4) ** (1 / 4)`, and for the whole
    call the way of the arguments from where they are now; times what was learnt from
    equal calls. Nothing is run.

    Args:
        fun: a function, plain or jitted.
        devices: names (or one) of `rx.devices()`, or of shipped profiles for cards that
            are not here: `rx580`, `vega64`, `rx5700xt`; or the file of a profile,
            `card.json`. Default: the CPU and all devices that are here.
        resident: the one of `devices` in whose memory the arguments are taken to be,
            as results of an earlier call would. Default: where they are; on a card
            that is not here, those that are on a device.

    Returns:
        A function of the same arguments that returns an `Explanation`: a table in a
        terminal and in a notebook, `.choice`, `.reason`, `.estimates`, `.as_dict()`.
        In place of an array its `ShapeDtypeStruct` will do.

    Raises:
        DeviceError: there is no such device, nor a profile of that name; `resident` is
            none of them; or a file is no profile: the text names the field, what was
            expected and what was found.

    Example:
        >>> import rxcore as rx
        >>> import rxcore.numpy as rnp
        >>> found = rx.explain(lambda x: x * 2, devices=["cpu", "rx580"])(rnp.ones(8))
        >>> found.choice
        'cpu'
    """
    jitted: Any = fun if hasattr(fun, "placed_entry") else jit(fun)
    name = getattr(fun, "__name__", str(getattr(fun, "name", type(fun).__name__)))
    if isinstance(devices, str):
        devices = [devices]
    if devices is not None and not devices:
        raise errors.UserError(
            "explain: expected the names of devices, got none; leave `devices` out for"
            " those that are here"
        )
    chosen = None if devices is None else [_resolved(d) for d in devices]
    home = _home(devices, chosen, resident)

    def explained(*args: Any, **kwargs: Any) -> Explanation:
        given, named = tree.map_(_concrete, (args, kwargs), is_leaf=_is_type)
        entry, leaves = jitted.placed_entry(*given, **named)
        operands = [*leaves, *entry.constants]
        targets = _present() if chosen is None else chosen
        forced = jitted.device_asked
        return _explained(name, entry.variants, operands, targets, forced, home)

    return explained


def _is_type(x: Any) -> bool:
    return isinstance(x, ShapeDtypeStruct)


def _concrete(x: Any) -> Any:
    """Return an array for a type: zeros, of which nothing is read."""
    if not isinstance(x, ShapeDtypeStruct):
        return x
    return Array.of_host(Type(x.dtype, tuple(x.shape)), np.zeros(x.shape, x.dtype))


# A target that is here, None for the CPU, or the profile of a card that is not.
Named = Target | None | Profile


def _resolved(name: str) -> Named:
    if name in SHIPPED and name not in ("cpu", "pocl"):
        return evolve(shipped(name), device=name)
    if name.endswith(".json"):
        return _card(load(name), name)
    try:
        return devices.find(name, "explain")
    except errors.DeviceError as error:
        simulated = ", ".join(repr(n) for n in SHIPPED if n not in ("cpu", "pocl"))
        raise errors.DeviceError(f"{error}; simulated: {simulated}") from None


def _card(profile: Profile, name: str) -> Profile:
    if profile.facts is None:
        raise errors.DeviceError(
            f"profile {name}: field facts: expected what the device can do, found"
            " nothing; copy the facts of a shipped profile and correct them"
        )
    return profile


def _home(
    names: Sequence[str] | None, chosen: Sequence[Named] | None, resident: str | None
) -> tuple[Named] | None:
    """Return the device in whose memory all arguments are to be, None: as they are."""
    if resident is None:
        return None
    for name, target in zip(names or (), chosen or (), strict=True):
        if name == resident:
            return (target,)
    listed = ", ".join(map(repr, names or ())) or "none"
    raise errors.DeviceError(
        f"explain: expected resident to be one of devices ({listed}), got {resident!r}"
    )


def _present() -> list[Named]:
    devices.look(wait=True)
    return [None, *(t for t in devices.known() if not t.fault)]


def _explained(
    name: str,
    variants: Variants,
    operands: Sequence[Any],
    targets: Sequence[Named],
    forced: str | None,
    home: tuple[Named] | None,
) -> Explanation:
    for x in operands:
        if isinstance(x, Tracer):
            raise errors.TraceError(
                "explain: it looks at where arguments are, so it cannot be called"
                " inside a transform; call it with concrete arrays"
            )
    estimates: list[Estimate] = []
    options: list[Option] = []
    for target in targets:
        moves = None if home is None else _way(operands, home[0], target)
        made, option = (
            _simulated(variants, operands, target, moves)
            if isinstance(target, Profile)
            else _estimated(variants, operands, target, moves)
        )
        estimates.append(made)
        options.append(option)
    notes: tuple[str, ...] = ()
    wanted = asked(operands, forced)
    if wanted is not None and any(
        e.device == name_of(wanted.target) for e in estimates
    ):
        choice, reason = name_of(wanted.target), wanted.reason
    else:
        routed = [o for o, t in zip(options, targets, strict=True) if _routed(t)]
        notes = tuple(
            f"{o.device} is the CPU itself: calls go there only if asked, or with"
            " rx.config.allow_opencl_cpu"
            for o, t in zip(options, targets, strict=True)
            if not _routed(t)
        )
        current = decide.record_of(variants).current
        found = choose(routed or options, current)
        choice, reason = found.device, found.reason
    return Explanation(name, choice, reason, tuple(estimates), notes)


def _routed(target: Named) -> bool:
    """Say whether calls may be placed on a target without being asked."""
    if not isinstance(target, Target):
        return True
    return target in devices.candidates()


def _way(operands: Sequence[Any], home: Named, target: Named) -> float:
    """Return what it takes to bring arguments from one device to another."""
    if home is target:
        return 0.0
    sizes = [a.type.nbytes for a in operands]
    down, up = _transfers(home)[1], _transfers(target)[0]
    return sum(down.seconds(n) + up.seconds(n) for n in sizes)


def _transfers(named: Named) -> tuple[Transfer, Transfer]:
    """Return the copies to a device from the host, and back."""
    profile = named if isinstance(named, Profile) else MARKET.model(named).profile
    return profile.up, profile.down


def _estimated(
    variants: Variants,
    operands: Sequence[Any],
    target: Target | None,
    moves: float | None = None,
) -> tuple[Estimate, Option]:
    """Return what a call would take on a target that is here.

    `moves` is what the way of the arguments takes, where it is not from where they are.
    """
    (option,) = decide.options_of(variants, operands, [target])
    if moves is not None:
        option = evolve(option, moves=moves)
    label = name_of(target)
    described = "" if target is None else target.device.name
    price = decide.price_of(variants, target)
    if isinstance(price, str):
        return Estimate(label, described, refused=price), option
    made = _terms(label, MARKET.model(target), price, option)
    count = MARKET.count(price, target)
    if count:
        made = evolve(made, observed=MARKET.corrected(price, target))
    launches = len(price.works)
    refused = option.reason_against
    return evolve(made, description=described, launches=launches, refused=refused), (
        option
    )


def _simulated(
    variants: Variants,
    operands: Sequence[Any],
    profile: Profile,
    moves: float | None = None,
) -> tuple[Estimate, Option]:
    """Return what a call would take on a card that is not here.

    Arguments that lie on a device are taken to lie on that card.
    """
    model, name = Model(profile), profile.device
    assert profile.facts is not None
    try:
        made = draft(variants.graph, profile.facts)
    except Unsupported as reason:
        refused = str(reason)
        option = Option(name, float("inf"), refusal=refused)
        return Estimate(name, simulated=True, refused=refused), option
    needs = decide.needs_of(made)
    price = MARKET.price(model, made.works, made.sources, needs)
    if moves is None:
        absent = [(a.type.nbytes, 1) for a in operands if a.home is None]
        moves = upload_seconds(absent, profile.up)
    room = profile.limits.memory_bytes
    everything = needs + sum(a.type.nbytes for a in operands)
    option = Option(name, price.seconds, moves, everything, room)
    estimate = _terms(name, model, price, option)
    return evolve(
        estimate,
        simulated=True,
        launches=len(price.works),
        refused=option.reason_against,
    ), option


def _terms(name: str, model: Model, price: Price, option: Option) -> Estimate:
    terms = model.terms(price.works)
    # Learnt corrections scale the whole prediction.
    factor = option.run / terms.total if terms.total else 1.0
    return Estimate(
        name,
        launch=terms.launch * factor,
        memory=terms.memory * factor,
        arithmetic=terms.arithmetic * factor,
        serial=terms.serial * factor,
        transfers=option.moves,
        predicted=option.seconds,
        spread=float(np.exp(terms.spread)),
    )
