"""Correct: learn from observed times how a prediction errs for one kernel.

What is kept for each key, device and size (by powers of two) is how the last few times
compare with their predictions. The least of a few times repeats to within a few
percent, and predictions do not come near to that: after n observations the correction
has weight n / (n + 0.1).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable, Iterable

from attrs import define, field

__all__ = ["Corrections", "bucket_of"]

# A prediction is not corrected by more than the first factor, lest one pause of the
# machine rules a device out; by no more than the second once a few times agree.
_MOST, _FAR = math.log(4.0), math.log(64.0)
_FEW = 3
_HALF = 0.1
# The first run builds; the second, of short programs, takes up to twice as long as all
# others: caches know neither its code nor its results' memory.
_UNBELIEVED = 2
# The lower quartile of so many counts: what else runs on the machine, and caches that
# are cold in the first runs, make times longer and never shorter.
_KEPT = 5
# How far away sizes may be for what was learnt of one to serve another.
_REACH = 3
_MOST_KEYS = 4096

Place = tuple[Hashable, Hashable]


@define
class _Seen:
    """The observations of one size."""

    count: int = 0
    unbelieved: int = 0
    ratios: list[float] = field(factory=list)
    # The last one's weight and value as a factor.
    factor: float = 1.0

    def add(self, ratio: float) -> None:
        self.count += 1
        self.ratios = [*self.ratios[1 - _KEPT :], ratio]
        self.settle()

    def settle(self) -> None:
        weight = self.count / (self.count + _HALF)
        most = _MOST if self.count < _FEW else _FAR
        seen = min(max(self.ratio, -most), most)
        self.factor = math.exp(weight * seen)

    @property
    def ratio(self) -> float:
        """The logarithm of a time over its prediction that is believed."""
        return sorted(self.ratios)[(len(self.ratios) - 1) // 4]


def bucket_of(nbytes: int) -> int:
    """Return the power of two of a size."""
    return int(nbytes).bit_length()


class Corrections:
    """What was learnt from observed times; any number of threads may use it.

    Example:
        >>> learnt = Corrections()
        >>> for seconds in (9.0, 3.0, 2.0, 2.0, 2.0):  # the first run compiles
        ...     learnt.observe("softmax", "cpu", 20, predicted=1.0, seconds=seconds)
        >>> round(learnt.factor("softmax", "cpu", 20), 2)
        1.96
    """

    def __init__(self) -> None:
        self._seen: dict[Place, dict[int, _Seen]] = {}
        self._lock = threading.Lock()

    def observe(
        self,
        key: Hashable,
        device: Hashable,
        bucket: int,
        *,
        predicted: float,
        seconds: float,
        first: bool | None = None,
    ) -> None:
        """Note how long something took.

        Args:
            key: a kernel's or program's key.
            device: where it ran.
            bucket: of the bytes it touches: see `bucket_of`.
            predicted: what was predicted, without a correction.
            seconds: what it took.
            first: whether this run made or loaded kernels, or met them for the first
                time, so that its time says nothing. Default: the first two of each
                size did.
        """
        if not (predicted > 0 and seconds > 0 and math.isfinite(seconds)):
            return
        with self._lock:
            sizes = self._seen.get((key, device))
            if sizes is None:
                if len(self._seen) >= _MOST_KEYS:
                    del self._seen[next(iter(self._seen))]
                sizes = self._seen[key, device] = {}
            seen = sizes.get(bucket)
            if seen is None:
                # A new dict: those who read the old one are not disturbed.
                seen = _Seen()
                self._seen[key, device] = {**sizes, bucket: seen}
            if first is None and not seen.count and seen.unbelieved < _UNBELIEVED:
                seen.unbelieved += 1
            elif not first:
                seen.add(math.log(seconds / predicted))

    def count(self, key: Hashable, device: Hashable, bucket: int) -> int:
        """Return how many times were noted for a size."""
        seen = self._seen.get((key, device), {}).get(bucket)
        return seen.count if seen else 0

    def factor(self, key: Hashable, device: Hashable, bucket: int) -> float:
        """Return by what to multiply a prediction; 1 where nothing was seen.

        A size that was not seen borrows from the nearest one that was.
        """
        sizes = self._seen.get((key, device))
        if sizes is None:
            return 1.0
        seen = sizes.get(bucket)
        if seen is not None and seen.count:
            return seen.factor
        return _borrowed(sizes, bucket)

    def export(self) -> tuple[tuple[str, int, int, float], ...]:
        """Return what was learnt under keys that are texts, for a profile."""
        with self._lock:
            return tuple(
                (key, bucket, seen.count, round(seen.ratio, 4))
                for (key, _), sizes in self._seen.items()
                if isinstance(key, str)
                for bucket, seen in sizes.items()
                if seen.count
            )

    def restore(
        self, rows: Iterable[tuple[str, int, int, float]], device: Hashable
    ) -> None:
        """Take up what a profile remembers of a device."""
        with self._lock:
            for key, bucket, count, ratio in rows:
                seen = _Seen(count, ratios=[ratio])
                if count:
                    seen.settle()
                    self._seen.setdefault((key, device), {})[bucket] = seen


def _borrowed(sizes: dict[int, _Seen], bucket: int) -> float:
    near = [b for b, seen in sizes.items() if seen.count and abs(b - bucket) <= _REACH]
    if not near:
        return 1.0
    closest = min(near, key=lambda b: (abs(b - bucket), b))
    # The farther, the less it says.
    return float(sizes[closest].factor ** (0.5 ** abs(closest - bucket)))
