"""Laws of the OpenCL C that every op and every program becomes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from rxcore.base import dtypes
from rxcore.ir.graph import Graph
from rxcore.runtime.assemble_device import Unsupported
from rxcore.runtime.device_program import DeviceDraft, draft
from rxcore.testing import Program, programs
from rxcore_kernels.launch import OpenCLSource
from rxcore_kernels.opencl_facts import Facts
from tests.examples import examples
from tests.opencl.texts import Text
from tests.opencl.together import graph_of
from tests.ops.cases import EVERYTHING, cases
from tests.ops.test_compiled import COMPILED

SMALL = Facts(max_group=64, max_item=(64, 64, 64))
CARD = Facts(
    max_group=1024,
    max_item=(1024, 1024, 64),
    wave=32,
    local_bytes=48 << 10,
    units=40,
    max_alloc=1 << 32,
    global_bytes=1 << 34,
    max_argument_bytes=4096,
    fp64=True,
    fp16=True,
    denormals=True,
    rounded_divide=True,
    fused_multiply_add=True,
    int_dot=True,
    atomics64=True,
)
FACTS = {"small": SMALL, "card": CARD, "as a cpu": evolve(CARD, kind="cpu")}
# What OpenCL has that may be called: the rest differs in speed and in bits.
BUILTIN = {
    *("get_group_id", "get_local_id", "barrier", "sqrt"),
    *("atomic_add", "atomic_cmpxchg", "atom_cmpxchg"),
    *("__attribute__", "reqd_work_group_size"),
}
REINTERPRET = re.compile(r"as_(u?(char|short|int|long)|float|double)")
# In test-all all cases of all dtypes, else some of each op.
KINDS = () if EVERYTHING else (dtypes.float32, dtypes.float64, dtypes.int64)


@cache
def graphs() -> tuple[Graph, ...]:
    """Return the Graphs of the ops' samples."""
    return tuple(
        graph_of(partial(p.bind, **params), operands)
        for p in COMPILED
        for operands, params in cases(p, only=KINDS)
    )


def drafted(graph: Graph, facts: Facts) -> DeviceDraft | Unsupported:
    try:
        return draft(graph, facts)
    except Unsupported as reason:
        return reason


def sources(facts: Facts, made: tuple[Graph, ...]) -> Iterator[OpenCLSource]:
    for graph in made:
        made = drafted(graph, facts)
        if isinstance(made, Unsupported):
            assert (facts.fp64, str(made)) == (
                False,
                "it does not compute with float64",
            )
        else:
            yield from made.sources


@pytest.mark.parametrize("name", FACTS)
def test_texts_of_ops(name: str) -> None:
    found = set(sources(FACTS[name], graphs()))
    assert len(found) > 300
    for source in found:
        check(source, FACTS[name])


@examples(40)
@given(programs(), st.sampled_from(sorted(FACTS)))
def test_texts_of_programs(program: Program, name: str) -> None:
    graph = graph_of(program, program.arguments())
    for source in sources(FACTS[name], (graph,)):
        check(source, FACTS[name])


def check(source: OpenCLSource, facts: Facts) -> None:
    try:
        check_calls(source)
        check_head(source, facts)
        check_arguments(source)
        check_barriers(source)
    except AssertionError as error:
        error.add_note(source.text)
        raise


def check_calls(source: OpenCLSource) -> None:
    text = Text(source.text)
    foreign = text.called - text.defined - BUILTIN
    assert not {c for c in foreign if not REINTERPRET.fullmatch(c)}


def check_head(source: OpenCLSource, facts: Facts) -> None:
    """Work-group, contraction, and dtypes that the device may lack."""
    text = source.text
    size = ", ".join(map(str, source.group))
    assert text.count("__kernel") == 1
    assert f"reqd_work_group_size({size})" in text
    code = Text(text).tokens
    pragma = text.index("#pragma OPENCL FP_CONTRACT OFF")
    assert pragma < min(text.index(code[0]), text.index("__kernel"))
    assert source.fp64 == ("double" in code)
    assert source.fp64 == ("cl_khr_fp64 : enable" in text)
    assert facts.fp64 or not source.fp64
    assert "half" not in code
    assert source.local_bytes <= facts.local_bytes
    wide = max(source.group)
    assert wide <= min(facts.max_group, facts.max_item[source.group.index(wide)])


def check_arguments(source: OpenCLSource) -> None:
    """Memories with their first elements, numbers, and the first group's number."""
    tokens = Text(source.text).tokens
    start = tokens.index("(", tokens.index(source.symbol))
    end = tokens.index(")", start)
    arguments = " ".join(tokens[start + 1 : end]).split(" , ")
    count = 2 * source.memories
    for pointer, first in zip(arguments[:count:2], arguments[1:count:2], strict=True):
        shape = r"__global (const )?\w+ \* restrict (\w+)"
        match = re.fullmatch(shape, pointer)
        assert match, pointer
        name = match[2]
        assert first == f"long {name}_at"
        assert f"{name}_at" in tokens[end:]
    kinds = {"i32": "int", "i64": "long", "u32": "uint", "u64": "ulong"}
    kinds |= {"f32": "float", "f64": "double"}
    given = [a.rpartition(" ")[0] for a in arguments[count:-1]]
    assert given == [kinds[k] for k in source.scalars]
    assert arguments[-1] == "int base"
    assert "base" in tokens[end:]


def check_barriers(source: OpenCLSource) -> None:
    """All items of a group reach every barrier."""
    text = Text(source.text)
    own, barriers = text.own(), list(text.barriers())
    for barrier in barriers:
        for condition in barrier.around:
            assert not own & set(condition), (condition, sorted(own))
    assert not barriers or not text.returns()


# the reader itself --------------------------------------------------------------------

_DIVERGENT = """
__kernel void f(__global int* restrict x, int n) {
  const int i = get_local_id(0), j = n * 2;
  int k = 0;
  for (int a = 0; a < j; a++) { k += i; }
  if (n > 3) { barrier(CLK_LOCAL_MEM_FENCE); }
  CONDITION barrier(CLK_LOCAL_MEM_FENCE);
}
"""


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("", set()),
        ("for (int b = 0; b < j; b++)", set()),
        ("if (k)", {"k"}),
        ("if (n) for (int b = i; b < n; b++)", {"i"}),
        ("while (x[i])", {"i"}),
    ],
)
def test_divergent_barriers_are_found(condition: str, found: set[Any]) -> None:
    text = Text(_DIVERGENT.replace("CONDITION", condition))
    own, barriers = text.own(), list(text.barriers())
    assert len(barriers) == 2
    assert {"i", "k"} <= own
    assert not own & {"j", "n", "x"}
    assert own & {w for c in barriers[1].around for w in c} >= found
    assert bool(found) == bool(own & {w for c in barriers[1].around for w in c})


def test_foreign_calls_are_found() -> None:
    text = Text("#define f(x) fabs(x)\nint g(int a) { return h(f(a)) + (int)(a); }")
    assert text.called - text.defined == {"fabs", "h"}
