"""A row of the table: a program per library, how results agree, what must be shown."""

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

Call = Callable[[], Any]
Make = Callable[[], Call]


@frozen
class Ratio:
    """The best time among `against`, divided by ours, reaches `least`."""

    least: float
    against: tuple[str, ...]


@frozen
class Share:
    """Ours reaches this share of a bandwidth measured in the same run."""

    least: float
    kind: str


@frozen
class AtMost:
    """Ours takes at most so many seconds."""

    seconds: float


Goal = Ratio | Share | AtMost


@frozen
class Tolerance:
    """Results agree within `atol + rtol * |peer|`, but for a share of the elements."""

    rtol: float = 1e-5
    atol: float = 1e-6
    share: float = 0.0


def everything(results: Any) -> Any:
    """Compare all that a program returns."""
    return results


@frozen
class Row:
    """One line of the table.

    Args:
        name: Unique name, given to `--rows`.
        title: What is computed, for the table.
        programs: For each library a function that prepares the inputs and returns a
            call without arguments; the call's result is waited for and dropped.
        must: Goals that have to be met.
        aim: Goals that one would like to meet.
        bytes: Bytes that a perfect program moves, for `Share`.
        tolerance: How close the results have to be.
        compared: Picks what is compared from a result.
        against: Libraries whose results are comparable; None for all.
        wait_each: Whether every call is waited for (off where waiting outweighs it).
    """

    name: str
    title: str
    programs: dict[str, Make]
    must: tuple[Goal, ...]
    aim: tuple[Goal, ...]
    bytes: int = 0
    tolerance: Tolerance = Tolerance()
    compared: Callable[[Any], Any] = everything
    against: tuple[str, ...] | None = None
    wait_each: bool = True


@frozen
class Timing:
    """Median and quartiles of one library's times, in seconds."""

    median: float
    low: float
    high: float
    samples: int


@frozen
class Outcome:
    """What came of a row: times, or the reason why there are none."""

    row: Any
    times: dict[str, Timing]
    failures: dict[str, str] = field(factory=dict)
    notes: tuple[str, ...] = ()
