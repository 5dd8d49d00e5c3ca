"""Put a kernel's module together: the step, the inner function, metadata.

The step loads its words and calls an inner function that is never inlined: its
pointer arguments are `noalias`, which is the only way to tell LLVM that the memories
are distinct. That call costs nothing measurable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from attrs import frozen

from rxcore.base.dtypes import DType
from rxcore.loops.nest import Nest
from rxcore.targets.llvm_facts import accesses
from rxcore.targets.llvm_scalar import Lines, memory_type, scalar_type

__all__ = ["Printed", "assemble"]


@frozen
class Printed:
    """A module's text, the name of its step, and the integers lifted out of it."""

    text: str
    symbol: str
    integers: tuple[int, ...]


def assemble(
    nest: Nest,
    out: Lines,
    words: dict[int, str],
    numbers: dict[str, tuple[str, DType]],
    strides: Iterable[str],
    metadata: Sequence[str],
    vector_bits: int,
) -> Printed:
    """Return the whole text around the lines of the inner function.

    Args:
        nest: what was printed; only its memories are read.
        out: the lines of the inner function.
        words: the lifted integers, and what they are called.
        numbers: the lifted floats, each with the word that holds its bits.
        strides: the words among them that are steps of innermost loops.
        metadata: the nodes, by number.
        vector_bits: how wide vectors are to be.
    """
    pointers = [
        (f"%b{i}", f"ptr noalias captures(none) {access} %b{i}")
        for i, access in enumerate(accesses(nest))
    ]
    loads = [_load_word(name, "ptr", i) for i, (name, _) in enumerate(pointers)]
    for i, name in enumerate(words.values(), len(pointers)):
        loads.append(_load_word(name, "i64", i))
    integers = [f"i64 {name}" for name in (*words.values(), "%lo", "%hi")]
    passed = ", ".join([*(f"ptr {name}" for name, _ in pointers), *integers])
    taken = ", ".join([*(parameter for _, parameter in pointers), *integers])
    assumed = [_assume_not_one(i, stride) for i, stride in enumerate(strides)]
    if assumed:
        out.declared["llvm.assume"] = "declare void @llvm.assume(i1)"
    lines = [
        "define i32 @SYMBOL(ptr noalias %words, i64 %lo, i64 %hi) #1 {",
        *loads,
        f"  call void @SYMBOL_body({passed})",
        "  ret i32 0",
        "}",
        f"define internal void @SYMBOL_body({taken}) #0 {{",
        "entry:",
        *_stack(nest),
        *assumed,
        *(line for name, word in numbers.items() for line in _float(name, *word)),
        *out.text,
        "  ret void",
        "}",
        *(out.declared[name] for name in sorted(out.declared)),
        "attributes #0 = { noinline nounwind mustprogress nofree norecurse nosync "
        f'"prefer-vector-width"="{vector_bits}" }}',
        "attributes #1 = { nounwind }",
        *(f"!{i} = {node}" for i, node in enumerate(metadata)),
        "",
    ]
    text = "\n".join(lines)
    symbol = f"nest_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
    return Printed(text.replace("SYMBOL", symbol), symbol, tuple(words))


def _load_word(name: str, kind: str, at: int) -> str:
    slot = f"%p.{name[1:]}"
    place = f"  {slot} = getelementptr inbounds i64, ptr %words, i64 {at}"
    return f"{place}\n  {name} = load {kind}, ptr {slot}, align 8"


def _stack(nest: Nest) -> list[str]:
    return [
        f"  %s{i} = alloca [{s.size} x {memory_type(s.dtype)}], align 64"
        for i, s in enumerate(nest.scratch)
    ]


def _assume_not_one(number: int, stride: str) -> str:
    # Or LLVM makes a second loop for that case, at 3 ms each.
    said = f"  %t{number} = icmp ne i64 {stride}, 1"
    return f"{said}\n  call void @llvm.assume(i1 %t{number})"


def _float(name: str, word: str, dtype: DType) -> list[str]:
    """Turn the bits in a word into a float."""
    kind = scalar_type(dtype)
    if dtype.itemsize == 8:
        return [f"  {name} = bitcast i64 {word} to {kind}"]
    bits = f"{name}.bits"
    return [
        f"  {bits} = trunc i64 {word} to i32",
        f"  {name} = bitcast i32 {bits} to {kind}",
    ]
