"""Run a check on a device and say what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from attrs import define, field, frozen

from rxcore.base import dtypes
from rxcore.cli.error import error_of, first_difference
from rxcore.cli.suite import Check
from rxcore.ir.graph import Graph
from rxcore.ir.interpret import interpret
from rxcore.runtime.array import Array, asarray
from rxcore.runtime.devices import Target, Unsupported
from rxcore.runtime.variants import Variants, launch, variants_of
from rxcore.trace.capture import capture
from rxcore_kernels.opencl import DeviceFault
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_fault import first_line

__all__ = ["STATUSES", "Finding", "Prepared", "Status", "examine", "prepare"]

Status = Literal["ok", "wrong", "error", "not supported"]
# From best to worst: a family is as its worst check.
STATUSES: tuple[Status, ...] = ("ok", "not supported", "error", "wrong")
# Where division and roots are not rounded correctly, or products not fused, what is
# computed with them differs from the CPU by this much at least.
_UNLIKE = 4.0


@frozen
class Finding:
    """What came of a check on a device.

    Args:
        check: which.
        status: `ok`, `wrong`, `error` (the device failed) or `not supported`.
        seconds: from arguments on the host to results on the host, with building.
        ulps: the largest error, in units in the last place; inf where numbers differ
            that must be equal. None if there are no results.
        text: what is wrong, or why it was not run.
        on_host: ops that the host computed by their reference.
        fault: the kind of a device's fault.
    """

    check: Check
    status: Status
    seconds: float = 0.0
    ulps: float | None = None
    text: str = ""
    on_host: tuple[str, ...] = ()
    fault: str = ""


@define(eq=False)
class Prepared:
    """A check captured, with its operands and what the results should be."""

    check: Check
    graph: Graph
    operands: list[Any]
    expected: list[Any]
    _cpu: list[Any] | None = field(default=None)

    @property
    def variants(self) -> Variants:
        """The programs of the check."""
        return variants_of(self.graph)

    def arguments(self) -> list[Array]:
        """Return the operands as fresh Arrays: nothing of them is on a device."""
        return [asarray(x) for x in self.operands]

    def cpu(self) -> list[Any]:
        """Return what the CPU makes of it."""
        if self._cpu is None:
            outs = self.variants.run_cpu(self.arguments())
            self._cpu = [o.host for o in outs]
        return self._cpu


def prepare(check: Check, keeps_subnormals: bool = True) -> Prepared:
    """Capture a check and compute its results by the ops' NumPy references.

    Args:
        check: which.
        keeps_subnormals: whether it is for devices that have subnormal numbers; else
            there are none among the operands.
    """
    operands = [np.asarray(x) for x in check.operands()]
    if not keeps_subnormals:
        operands = [_without_subnormals(x) for x in operands]
    types = [asarray(x).type for x in operands]
    made = capture(lambda *xs: list(check.function(*xs)), types)
    operands += [np.asarray(c) for c in made.constants]
    with np.errstate(all="ignore"):
        expected = interpret(made.graph, operands)
    return Prepared(check, made.graph, operands, expected)


def _without_subnormals(x: Any) -> Any:
    if not dtypes.is_inexact(x.dtype):
        return x
    return np.where(_is_subnormal(x), np.zeros_like(x), x)


def _is_subnormal(x: Any) -> Any:
    least = 2.0**-14 if x.dtype == dtypes.float16 else 2.0**-126
    least = 2.0**-1022 if x.dtype == dtypes.float64 else least
    return np.abs(x.astype(np.float64)) < least


# Running it --------------------------------------------------------------------------


def examine(prepared: Prepared, target: Target | None) -> Finding:
    """Run a check on a device (None: the CPU) and compare."""
    check, variants = prepared.check, prepared.variants
    begin = time.perf_counter()
    try:
        if target is None:
            fallbacks = variants.cpu.fallbacks
            found = prepared.cpu()
        else:
            fallbacks = variants.draft(target).fallbacks
            outs = launch(variants, target, prepared.arguments())
            found = [o.host for o in outs]
    except Exception as error:  # a driver may raise anything
        return _failed(check, begin, error)
    seconds = _since(begin)
    on_host = tuple(dict.fromkeys(op for op, _ in fallbacks))
    facts = None if target is None else target.facts
    status, ulps, text = compare(prepared, found, facts)
    return Finding(check, status, seconds, ulps, text, on_host)


def _failed(check: Check, begin: float, error: Exception) -> Finding:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DeviceFault):
        cause = cause.__cause__
    # A text that does not compile is told as a lack too, for it will never compile.
    if isinstance(error, Unsupported) and (cause is None or cause.kind != "build"):
        return Finding(check, "not supported", text=first_line(error))
    if cause is None:
        text = f"{type(error).__name__}: {first_line(error)}"
        return Finding(check, "error", _since(begin), text=text, fault="other")
    text = first_line(cause)
    return Finding(check, "error", _since(begin), text=text, fault=cause.kind)


def _since(begin: float) -> float:
    return time.perf_counter() - begin


def compare(
    prepared: Prepared, found: Sequence[Any], facts: Facts | None
) -> tuple[Status, float, str]:
    """Compare results with what they should be.

    Args:
        prepared: the check.
        found: the results.
        facts: of the device; None is the CPU.

    Returns:
        `ok` or `wrong`, the largest error, and the first result that is wrong.
    """
    check, texts, worst = prepared.check, [], 0.0
    alike = facts is not None and _rounds_alike(facts)
    for k, (f, e) in enumerate(zip(found, prepared.expected, strict=True)):
        if facts is not None and not facts.denormals and dtypes.is_inexact(e.dtype):
            f = np.where((f == 0) & _is_subnormal(e), e, f)
        allowed = check.allowed(k)
        if facts is not None and not alike and dtypes.is_inexact(e.dtype):
            allowed = max(2 * allowed, _UNLIKE) if check.bits or allowed else allowed
        error = error_of(f, e, check.spread)
        worst = max(worst, error)
        if error > allowed:
            texts.append(_told(check, k, f, e, error, allowed))
        elif alike and check.bits and error_of(f, prepared.cpu()[k]) > 0:
            where = first_difference(f, prepared.cpu()[k])
            texts.append(f"{check.label(k)}: not the bits of the CPU: {where}")
    if not texts:
        return "ok", worst, ""
    more = f" (as are {len(texts) - 1} of its other results)" if len(texts) > 1 else ""
    return "wrong", worst, f"{check.name}: {texts[0]}{more}"


def _rounds_alike(facts: Facts) -> bool:
    """Say whether a device rounds as the CPU does, so that bits must be equal."""
    return facts.fused_multiply_add and facts.rounded_divide and facts.denormals


def _told(
    check: Check, k: int, found: Any, expected: Any, error: float, allowed: float
) -> str:
    size = "" if np.isinf(error) else f"error of {error:.3g} ULP, {allowed:g} allowed: "
    return f"{check.label(k)}: {size}{first_difference(found, expected)}"
