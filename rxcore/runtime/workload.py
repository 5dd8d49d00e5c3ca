"""Workload: what a program's steps do, as features that a cost model can price."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rxcore.base.lazy import LazyModule
from rxcore.compiler.features import features
from rxcore.compiler.form import WAVE, Features, handmade
from rxcore.ir.graph import Equation
from rxcore.ir.primitive import Accumulating, Native
from rxcore.loops.nest import Nest

__all__ = ["Workload", "workload"]

# The features of each step, and how often one call runs it.
Workload = tuple[tuple[Features, int], ...]

launch = LazyModule("rxcore_kernels.launch")
opencl_facts = LazyModule("rxcore_kernels.opencl_facts")


def workload(works: Sequence[tuple[Any, int]]) -> Workload:
    """Return the features of a program's steps (see `Assembly.works`)."""
    return tuple((_features(what), times) for what, times in works)


def _features(what: Any) -> Features:
    match what:
        case Nest():
            return features(what)
        case Equation():
            return _of_equation(what)
    group = math.prod(what.source.group)
    items = math.prod(what.groups) * max(group, WAVE)
    return handmade(what.shape, what.flops, what.nbytes, items)


def _of_equation(e: Equation) -> Features:
    """Return the features of a hand-made kernel on the CPU, or of a reference.

    A kernel's launches for a device say what it computes; that is the same anywhere.
    """
    moved = sum(v.type.nbytes for v in (*e.inputs, *e.outputs))
    size = sum(v.type.size for v in e.outputs)
    form = e.primitive.lower
    if isinstance(form, Native | Accumulating) and form.launches is not None:
        facts = opencl_facts.Facts(fp64=True, max_alloc=1 << 62, global_bytes=1 << 62)
        types = [o.type for o in e.inputs]
        if isinstance(form, Native):
            plan = form.launches(facts, *types, **e.params)
        else:
            outs = [v.type for v in e.outputs]
            plan = form.launches(facts, types, outs, **e.params)
        if isinstance(plan, launch.LaunchPlan) and plan.launches:
            flops = sum(one.flops for one in plan.launches)
            # What prepares operands is named before what takes the time.
            most = max(plan.launches, key=lambda one: one.flops)
            return handmade(most.shape, flops, moved)
    shape = "reference" if not isinstance(form, Native | Accumulating) else "kernel"
    return handmade(shape, float(size), moved)
