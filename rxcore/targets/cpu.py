"""The CPU target: Nests become LLVM IR text, and text becomes kernels."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from rxcore.base import config
from rxcore.loops.nest import Nest
from rxcore.loops.verify import verify
from rxcore.targets.llvm_text import print_nest
from rxcore_kernels import builder, host
from rxcore_kernels.source import Source

__all__ = ["BufferWord", "Emission", "Word", "build", "emit"]


@frozen
class BufferWord:
    """The address of a buffer of the Nest, some bytes in."""

    name: str
    offset: int = 0


Word = BufferWord | int


@frozen
class Emission:
    """A Nest as text, and the words that the text expects in its argument block.

    Args:
        source: the text; equal for Nests of equal structure, whatever their sizes.
        words: the buffers' addresses in the order of `nest.buffers`, then integers.
    """

    source: Source
    words: tuple[Word, ...]


def emit(nest: Nest, *, bits: int | None = None) -> Emission:
    """Print a scheduled Nest as LLVM IR.

    Args:
        nest: loops in the order in which they are to run.
        bits: the vector width to ask for; this machine's when not given.

    Returns:
        The text and its words. The step runs the Nest's outermost loop of kind
        `group`, `lane` or `parallel` over [lo, hi), and all of a Nest without one.

    Raises:
        InternalError: when the Nest is not well formed (with `config.verify`).

    Example:
        >>> from rxcore.base import dtypes
        >>> from rxcore.loops.nest import Buffer, Index, Load, Loop, Nest, Store
        >>> x, y = Buffer("x", dtypes.float32, 8), Buffer("y", dtypes.float32, 8, "out")
        >>> at = Index.of("i")
        >>> copy = (Load("v", dtypes.float32, "x", at), Store("y", at, "v"))
        >>> made = emit(Nest("copy", (x, y), (Loop("i", 8, "lane", copy),)))
        >>> made.words
        (BufferWord(name='x', offset=0), BufferWord(name='y', offset=0))
    """
    if config.current().verify:
        verify(nest)
    printed = print_nest(nest, bits or host.features().vector_bits)
    addresses = tuple(BufferWord(b.name) for b in nest.buffers)
    source = Source(printed.text, printed.symbol)
    return Emission(source, (*addresses, *printed.integers))


def build(emissions: Sequence[Emission]) -> list[builder.Kernel]:
    """Build the kernels of these texts, from memory and disk where they are there."""
    return builder.build([emission.source for emission in emissions])
