"""Build the kernels of many programs at once: a compiler's start costs most.

PoCL takes 110 ms to start on a program and 35 for each kernel in it, so laws over many
small programs put the kernels of all of them into one before they run them. What runs
then is the same text, launched in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyopencl as cl

from rxcore.ir.graph import Graph
from rxcore.ir.types import Type
from rxcore.runtime.devices import Unsupported, find
from rxcore.runtime.variants import variants_of
from rxcore.trace.capture import capture
from rxcore_kernels import opencl_build
from rxcore_kernels.launch import OpenCLSource
from rxcore_kernels.opencl import Device
from rxcore_kernels.opencl_build import Kernel

# More in one program gain nothing.
_MOST = 32


def build_together(device: Device, sources: Iterable[OpenCLSource]) -> None:
    """Build kernels in few programs; `device.build` finds them afterwards."""
    device.open()
    builder, facts = device._builder, device.facts
    options = opencl_build._options(facts)
    known = builder._kernels
    missing = {
        (s.key, s.symbol, options): s
        for s in sources
        if (s.key, s.symbol, options) not in known
    }
    waiting = list(missing.items())
    for first in range(0, len(waiting), _MOST):
        some = waiting[first : first + _MOST]
        if len(some) == 1:
            device.build(some[0][1])
            continue
        for _, source in some:
            opencl_build._check(source, facts, device.name)
        text = "\n".join(apart(s, k) for k, (_, s) in enumerate(some))
        whole = OpenCLSource(text, "", 0, (), (1, 1, 1))
        program = builder._compile(whole, options)
        for k, (key, source) in enumerate(some):
            handle = cl.Kernel(program, f"{source.symbol}_{k}")
            handle.set_scalar_arg_dtypes(opencl_build._argument_types(source))
            builder._check_built(source, handle, facts)
            known[key] = Kernel(source, handle)


def apart(source: OpenCLSource, number: int) -> str:
    """Return a text whose functions and types have names of its own."""
    types = re.findall(r"^typedef .*\b(\w+);", source.text, re.MULTILINE)
    names = dict.fromkeys([*defined(source.text), *types])
    macros = re.findall(r"^\s*#\s*define\s+(\w+)", source.text, re.MULTILINE)
    return "\n".join(
        [
            *(f"#define {n} {n}_{number}" for n in names),
            source.text,
            *(f"#undef {n}" for n in (*names, *dict.fromkeys(macros))),
        ]
    )


def defined(text: str) -> Iterator[str]:
    """Yield the names of the functions that a text defines."""
    depth = 0
    code = "\n".join(x for x in text.splitlines() if not x.lstrip().startswith("#"))
    previous = ""
    for token in re.findall(r"\w+|[(){};]", code):
        if token == "(" and depth == 0 and re.match(r"[A-Za-z_]", previous):
            if previous != "__attribute__":
                yield previous
            depth += 1
        elif token in "({":
            depth += 1
        elif token in ")}":
            depth -= 1
        previous = token


def graph_of(function: Any, args: Sequence[Any]) -> Graph:
    """Return what `jit` captures of a function of flat arrays."""
    types = [Type(np.asarray(a).dtype, np.shape(a)) for a in args]

    def flat(*xs: Any) -> Sequence[Any]:
        out = function(*xs)
        return out if isinstance(out, list | tuple) else [out]

    return capture(flat, types).graph


def prepare(name: str, graphs: Iterable[Graph]) -> None:
    """Build the kernels of Graphs for a device; those that it cannot run are left."""
    target = find(name)
    assert target is not None
    sources: dict[OpenCLSource, None] = {}
    for graph in graphs:
        try:
            sources |= dict.fromkeys(variants_of(graph).draft(target).sources)
        except Unsupported:
            continue
    build_together(target.device, sources)
