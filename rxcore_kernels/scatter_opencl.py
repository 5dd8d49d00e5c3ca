"""Scatter on an OpenCL device: elements written or joined at computed places.

Updates are sorted by place, stably; then each place's are joined in order. A few are
not sorted: each looks for its rivals itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from attrs import frozen

from rxcore_kernels.launch import In, LaunchPlan, Out, Scratch
from rxcore_kernels.opencl_elements import (
    ELEMENTS,
    computes,
    unsigned_of,
    whole_parts,
)
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import LIMIT, Launches
from rxcore_kernels.scatter_opencl_text import (
    FEW,
    Join,
    Places,
    alone_source,
    few_source,
    last_source,
    pieces_source,
    places_source,
    start_source,
)
from rxcore_kernels.sort_opencl import sort_rows, sortable
from rxcore_kernels.sort_opencl_text import Order

__all__ = ["launch_scatter", "launch_spread"]

PIECE = 32
"""Sorted updates that one work-item joins."""

_GROUP_BITS = Order("uint32", placed=True, values=False)


def launch_scatter(
    facts: Facts,
    dtype: str,
    shape: Sequence[int],
    index_dtypes: Sequence[str],
    batch: Sequence[int],
    *,
    axes: Sequence[int],
    place: int,
    combine: str,
    mode: str,
    unique: bool = False,
) -> LaunchPlan | None:
    """Plan a scatter.

    **Meaning** (inputs: x of `shape`, updates, the indices, each of shape `batch`; for
    the leading axes of `x` and indices in range)::

        out = x.copy()
        for b in np.ndindex(batch):
            at = tuple(i[b] for i in indices)
            out[at] = updates[b]  # "set"; "add": out[at] + updates[b], ...

    Updates follow each other in row-major order of the batch. Sums and products of
    floats are joined in an order that depends on nothing but the indices. It is the
    order above for up to `FEW` updates, and wherever no more than two meet.

    Args:
        facts: the device.
        dtype: NumPy's name of the dtype of `x` and of the updates; complex for "set"
            and "add" only, float16 and bfloat16 not for "add" and "mul".
        shape: shape of `x`.
        index_dtypes: NumPy's names of the integer dtypes of the indices.
        batch: shape of each array of indices.
        axes: the axes of `x` that they index; the others are written whole.
        place: where among the whole axes the axes of the indices stand in the updates.
        combine: "set", "add", "mul", "min" or "max".
        mode: "drop" leaves out updates out of range, "clip" moves them into range.
        unique: a promise that no place is named twice.

    Returns:
        The plan, or None where the device has no room or the dtype no kernel.
    """
    made = _begin(
        facts, dtype, shape, index_dtypes, batch, axes, place, combine, mode, 1
    )
    return made.plan(unique and mode == "drop") if made else None


def launch_spread(
    facts: Facts,
    dtype: str,
    shape: Sequence[int],
    index_dtypes: Sequence[str],
    batch: Sequence[int],
    *,
    axes: Sequence[int],
    place: int,
    mode: str,
) -> LaunchPlan | None:
    """Plan the adding of updates at computed places of an array of zeros.

    **Meaning** (inputs: updates, the indices)::

        out = scatter(np.zeros(shape), updates, *indices, combine="add", ...)

    Args:
        facts: the device.
        dtype: NumPy's name of the dtype of the updates.
        shape: shape of the result.
        index_dtypes: NumPy's names of the integer dtypes of the indices.
        batch: shape of each array of indices.
        axes: the axes of the result that they index.
        place: where among the other axes the axes of the indices stand in the updates.
        mode: "drop" or "clip".

    Returns:
        The plan, or None where the device has no room or the dtype no kernel.
    """
    made = _begin(facts, dtype, shape, index_dtypes, batch, axes, place, "add", mode, 0)
    return made.plan(unique=False) if made else None


def _begin(
    facts: Facts,
    dtype: str,
    shape: Sequence[int],
    index_dtypes: Sequence[str],
    batch: Sequence[int],
    axes: Sequence[int],
    place: int,
    combine: str,
    mode: str,
    first: int,
) -> _Scatter | None:
    part, parts = whole_parts(dtype)
    if part not in ELEMENTS:
        return None
    element = ELEMENTS[part]
    if combine == "set":
        part = unsigned_of(element.bytes)
    elif not computes(facts, part) or (parts > 1 and combine != "add"):
        return None
    elif element.half and combine in ("add", "mul"):
        return None  # rounded once, at the end: it needs a wider result
    # The parts of a complex number are one more whole axis.
    full = (*shape, parts) if parts > 1 else tuple(shape)
    kept = [a for a in range(len(full)) if a not in axes]
    window = [full[a] for a in kept]
    count, size = math.prod(batch), math.prod(full)
    if max(size, count * math.prod(window)) > LIMIT:
        return None
    strides = [math.prod(full[a + 1 :]) for a in range(len(full))]
    runs = _runs([(full[a], strides[a]) for a in kept])
    ahead, behind = math.prod(window[:place]), math.prod(window[place:])
    return _Scatter(
        facts,
        Places(tuple(index_dtypes), mode == "clip"),
        tuple((full[a], strides[a]) for a in axes),
        Join(combine, part, len(runs), ahead == 1),
        tuple(runs),
        count,
        size,
        (ahead * behind, behind),
        first,
    )


def _runs(axes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return lengths and strides with neighbouring axes as one where they can be."""
    found: list[tuple[int, int]] = []
    for length, stride in axes:
        if length == 1:
            continue
        if found and found[-1][1] == length * stride:
            found[-1] = (found[-1][0] * length, stride)
        else:
            found.append((length, stride))
    return found


@frozen
class _Scatter:
    """A scatter in numbers.

    Args:
        facts: the device.
        places: how places are found.
        axes: length and stride of each indexed axis.
        join: what is joined.
        runs: length and stride of each run of the window.
        count: updates.
        size: elements of the result.
        window: elements of an update, and those behind the updates' axis.
        first: which input the updates are.
    """

    facts: Facts
    places: Places
    axes: tuple[tuple[int, int], ...]
    join: Join
    runs: tuple[tuple[int, int], ...]
    count: int
    size: int
    window: tuple[int, int]
    first: int

    @property
    def updates(self) -> In:
        """The updates."""
        return In(self.first)

    @property
    def indices(self) -> tuple[In, ...]:
        """The indices."""
        return tuple(In(self.first + 1 + k) for k in range(len(self.axes)))

    @property
    def join_scalars(self) -> tuple[int, ...]:
        """The numbers that `Join` takes."""
        return (self.count, *self.window, *(n for run in self.runs for n in run))

    @property
    def place_scalars(self) -> tuple[int, ...]:
        """The numbers that `Places` takes."""
        return tuple(n for axis in self.axes for n in axis)

    @property
    def item_bytes(self) -> int:
        """Bytes of an element."""
        return ELEMENTS[self.join.dtype].bytes

    @property
    def moved(self) -> int:
        """Bytes of all updates, read and written, and read before unless set."""
        each = 2 if self.join.setting else 3
        return self.count * self.window[0] * each * self.item_bytes

    @property
    def index_bytes(self) -> int:
        """Bytes of all indices."""
        return self.count * sum(ELEMENTS[d].bytes for d in self.places.indices)

    def plan(self, unique: bool) -> LaunchPlan | None:
        """Return the launches."""
        made = Launches(self.facts)
        if self.size:
            self._start(made)
        if self.count * self.window[0] * self.size:
            if unique or self.count == 1:
                self._direct(made, few=False)
            elif self.count <= FEW and self.facts.local_bytes >= FEW * 4:
                self._direct(made, few=True)
            elif not self._sorted(made):
                return None
        updates = self.count * self.window[0] * self.item_bytes
        return made.plan(self.size * self.item_bytes, updates)

    def _start(self, made: Launches) -> None:
        copied = self.first > 0
        typed = start_source(self.facts, self.join.element, copied=copied)
        made.add(
            typed,
            (In(0), Out(0)) if copied else (Out(0),),
            (self.size,),
            -(-self.size // typed.source.group[0]),
            shape="elementwise",
            flops=0,
            nbytes=self.size * self.item_bytes * (1 + copied),
        )

    def _direct(self, made: Launches, *, few: bool) -> None:
        write = few_source if few else alone_source
        typed = write(self.facts, self.places, self.join)
        items = self.count * self.window[0]
        made.add(
            typed,
            (self.updates, Out(0), *self.indices),
            (*self.join_scalars, *self.place_scalars),
            -(-items // typed.source.group[0]),
            shape="scatter",
            flops=items * (self.count if few else 1),
            nbytes=self.moved + self.index_bytes,
        )

    def _sorted(self, made: Launches) -> bool:
        count = self.count
        if not sortable("uint32", 1, count):
            return False
        unsorted = made.memory(count * 4)
        keys, order = made.memory(count * 4), made.memory(count * 4)
        typed = places_source(self.facts, self.places)
        made.add(
            typed,
            (*self.indices, unsorted),
            (count, *self.place_scalars),
            -(-count // typed.source.group[0]),
            shape="scatter",
            flops=count * len(self.axes),
            nbytes=self.index_bytes + count * 4,
        )
        results = (keys, order)
        sort_rows(made, _GROUP_BITS, unsorted, results, 1, count, count, finished=False)
        if self.join.setting:
            self._last(made, keys, order)
        else:
            self._pieces(made, keys, order)
        return True

    def _last(self, made: Launches, keys: Scratch, order: Scratch) -> None:
        typed = last_source(self.facts, self.join)
        items = self.count * self.window[0]
        made.add(
            typed,
            (self.updates, Out(0), keys, order),
            self.join_scalars,
            -(-items // typed.source.group[0]),
            shape="scatter",
            flops=0,
            nbytes=self.moved + self.count * 8,
        )

    def _pieces(self, made: Launches, keys: Scratch, order: Scratch) -> None:
        """Join pieces, then what crossed their edges, until there is one piece."""
        window, value = self.window[0], ELEMENTS[self.join.dtype].value_bytes
        many, partial = self.count, None
        while True:
            pieces = -(-many // PIECE)
            typed = pieces_source(self.facts, self.join, first=partial is None)
            to, to_keys = (
                made.memory(2 * pieces * window * value),
                made.memory(8 * pieces),
            )
            given = (
                (self.updates, Out(0), keys, order)
                if partial is None
                else (partial, Out(0), keys)
            )
            moved = self.moved if partial is None else many * window * value
            made.add(
                typed,
                (*given, to, to_keys),
                (*self.join_scalars, many, PIECE),
                -(-pieces * window // typed.source.group[0]),
                shape="scatter",
                flops=many * window,
                nbytes=moved + many * 8 + 2 * pieces * window * value,
            )
            if pieces == 1:
                return
            many, partial, keys = 2 * pieces, to, to_keys
