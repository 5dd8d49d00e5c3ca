"""A row of the device suite, what is asked of it, and what came of it."""

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from benchmarks.measure import Effort
from benchmarks.record import AtMost, Ratio, Share, Timing, Tolerance, everything

CPU = "cpu"
NUMPY = "numpy"
KERNELS = "kernels"
FLOOR = "enqueue + finish"
OVERHEAD = "overhead"
USUAL = Tolerance()


@frozen
class Launches:
    """One call launches at most so many kernels, as counted by the device's queue."""

    most: int


@frozen
class Over:
    """Ours takes at most so many seconds more than the bare commands."""

    seconds: float


Goal = AtMost | Launches | Over | Ratio | Share


@frozen
class DeviceRow:
    """A program that is run on the device, on the CPU, and by NumPy.

    Args:
        name: Unique name, given to `--rows`.
        title: What is computed, for the table.
        inputs: Makes the host's arguments: arrays, or lists of arrays.
        program: The rxcore function of these arguments.
        reference: The NumPy function of these arguments; its results are compared.
        peer: The NumPy call that is timed where it is another one.
        must: Goals that have to be met.
        bytes: Bytes that a perfect program moves.
        flops: Operations that the usual algorithm takes.
        tolerance: How close the results have to be.
        compared: Picks what is compared from a result.
    """

    name: str
    title: str
    inputs: Callable[[], tuple[Any, ...]]
    program: Callable[..., Any]
    reference: Callable[..., Any]
    peer: Callable[..., Any] | None = None
    must: tuple[Goal, ...] = ()
    bytes: int = 0
    flops: int = 0
    tolerance: Tolerance = USUAL
    compared: Callable[[Any], Any] = everything


@frozen
class Probe:
    """A row that is measured in its own way.

    Args:
        name: Unique name, given to `--rows`.
        title: What is measured, for the table.
        measure: Takes the Target and the effort; returns times by name, and notes.
            It raises `RowError` where a result is wrong.
        must: Goals that have to be met.
        bytes: Bytes that it moves.
        flops: Operations that it takes.
        for_cpu: Whether it says something on OpenCL devices of type CPU only.
    """

    name: str
    title: str
    measure: Callable[[Any, Effort], "Measured"]
    must: tuple[Goal, ...] = ()
    bytes: int = 0
    flops: int = 0
    for_cpu: bool = False


class RowError(RuntimeError):
    """A result differs, or what should have happened did not."""


@frozen
class Measured:
    """The times of a probe by name (ours as `rxcore`), and what else is to be told."""

    times: dict[str, Timing]
    notes: tuple[str, ...] = ()
    launches: int | None = None


@frozen
class DeviceOutcome:
    """What came of a row: times and counts, or the reason why there are none.

    Times are by name: `rxcore` is the call on the device, `kernels` the device's own
    time for its launches, `cpu` the same program on rxcore's CPU target, `numpy`.
    """

    row: Any
    times: dict[str, Timing]
    launches: int | None = None
    fallbacks: tuple[tuple[str, str], ...] | None = None
    failures: dict[str, str] = field(factory=dict)
    notes: tuple[str, ...] = ()
