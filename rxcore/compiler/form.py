"""Forms and Features: the counts of what a kernel does, as data.

A `Form` is what all Nests of equal text share: polynomials of the integers that vary
between them. So it is compiled into one expression once (`rxcore/runtime/cost`), and
`Features` add the numbers of one Nest.

What is counted (an access or an operation counts as often as it runs):

- bytes that the processor loads and stores, by how the loop that vectors (or the
  work-items of a group) run along walks them: `contiguous`, `broadcast`, `strided`,
  `gather`, and those of `scratch`;
- operations: `simple`, `muladd`, `divide` (roots too), `integer_divide`, `double`
  (float64), and `scalar`: on a CPU what does not become vector instructions, for a GPU
  again everything beside a root, which keeps OpenCL implementations on a CPU from
  vectors. On a CPU they count by the widest value of their loop, in units of 4 bytes,
  as that decides how many a vector holds;
- `start`: how often an innermost loop begins, and `left`: operations of iterations that
  do not fill a vector (a number: it depends on sizes in no simple way);
- `chain`: on a CPU, the latency of an iteration of a vector loop, as far as the next
  iterations do not hide it, and `drain`: that of the last one, each time a loop ends;
- `serial`: on a CPU, steps of recurrences, each times the operations from one value of
  the carry to the next; on a GPU, the iterations that one work-item makes in turn.
"""

from __future__ import annotations

from typing import Literal

from attrs import astuple, field, frozen

from rxcore.compiler.polynomial import Polynomial

__all__ = ["COUNTS", "WAVE", "Features", "Form", "handmade", "interned"]

# A work-group takes as much of a device as so many work-items, if it has fewer.
WAVE = 64
# What a Form may count, in the order in which it is shown.
COUNTS = (
    *("contiguous", "broadcast", "strided", "gather", "scratch"),
    *("simple", "muladd", "divide", "integer_divide", "double", "scalar"),
    *("start", "left", "chain", "drain", "serial"),
)


@frozen(eq=False)
class Form:
    """What all Nests of one text share; equal texts have the same Form.

    There is one object for all that are equal (see `interned`): a Form is looked up at
    every prediction, and what compares by identity is found without comparing.

    Args:
        target: `cpu` or `gpu`: what the Nest was scheduled for; `kernel` for a
            hand-made one.
        shape: `elementwise`, `row`, `scan`, `column`, `transposed`, or the name of a
            hand-made kernel.
        counts: what is counted, each as a polynomial of the extents.
        extents: how many extents there are.
        vectorizes: whether every innermost loop becomes vector instructions.
    """

    target: Literal["cpu", "gpu", "kernel"]
    shape: str
    counts: tuple[tuple[str, Polynomial], ...]
    extents: int
    vectorizes: bool = True


@frozen
class Features:
    """A Form with the numbers of one Nest.

    Args:
        form: what is counted.
        extents: the integers that the polynomials are of, each once.
        read: bytes of memory that are read, each place once.
        written: bytes of memory that are written, each place once.
        again: bytes read or written at places that were there already.
        near: about how many bytes lie between one access to a place and the next.
        items: the pieces that threads may share, or the work-items of all groups, each
            group counted as a WAVE at least.
        left: on a CPU, the operations of iterations that do not fill a vector.
    """

    form: Form
    extents: tuple[int, ...]
    read: int
    written: int
    again: int = 0
    near: int = 0
    items: int = 1
    left: int = 0
    # All numbers, in the order in which a compiled cost takes them (the squares are of
    # `touched` and `near`): as floats, with which Python computes faster than with
    # integers and floats in turn.
    sizes: tuple[float, ...] = field(init=False, eq=False, repr=False)

    @sizes.default
    def _find_sizes(self) -> tuple[float, ...]:
        touched, near = float(self.touched) ** 2, float(self.near) ** 2
        memory = (self.read, self.written, touched, self.again, near)
        return tuple(map(float, (*self.extents, *memory, self.items, self.left)))

    @property
    def touched(self) -> int:
        """The working set in bytes: every place once."""
        return self.read + self.written

    def counts(self) -> dict[str, float]:
        """Return the counts as numbers.

        Example:
            >>> handmade("matmul", 2e9, 12e6).counts()
            {'muladd': 2000000000.0}
        """
        found = {name: p.value(self.extents) for name, p in self.form.counts}
        if self.left:
            found["left"] = float(self.left)
        return found


_forms: dict[tuple[object, ...], Form] = {}


def interned(form: Form) -> Form:
    """Return the one Form of all equal ones."""
    return _forms.setdefault(astuple(form, recurse=False), form)


def handmade(shape: str, flops: float, nbytes: float, items: int = 1 << 20) -> Features:
    """Return the features of a hand-made kernel, which says itself what it does.

    Args:
        shape: its name.
        flops: its arithmetic operations.
        nbytes: bytes that it moves to and from memory.
        items: the pieces or work-items that share the work.
    """
    form = interned(Form("kernel", shape, (("muladd", Polynomial.of(0)),), 1))
    return Features(form, (int(flops),), int(nbytes), 0, items=items)
