"""Choose: where a call runs, from what it would take on each device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import define

from rxcore.runtime.cost.rates import Transfer

__all__ = ["Choice", "Option", "choose", "upload_seconds"]

# Another device must be faster by this share and by so many seconds.
_GAIN, _LEAST = 0.15, 20e-6


# Not frozen, like Choice: setters that refuse would take as long as a prediction.
@define
class Option:
    """What a call would take on one device.

    Args:
        device: its name.
        run: seconds of the kernels there, corrected.
        moves: seconds of the copies that it needs: see `upload_seconds`.
        needs: bytes of memory that it needs there.
        room: bytes that are free there, or None where nobody counts.
        refusal: why it cannot run there at all, or an empty text.
    """

    device: str
    run: float
    moves: float = 0.0
    needs: int = 0
    room: int | None = None
    refusal: str = ""

    @property
    def seconds(self) -> float:
        """Run and copies together."""
        return self.run + self.moves

    @property
    def reason_against(self) -> str:
        """Why it cannot run there, or an empty text."""
        if self.refusal:
            return self.refusal
        if self.room is not None and self.needs > self.room:
            return f"it needs {_bytes(self.needs)}, {_bytes(self.room)} are free"
        return ""


@define
class Choice:
    """Where a call runs, and why.

    Args:
        device: the name of the device.
        seconds: what is expected.
        options: what there was.
        rival: the device that would gain too little for a change, or an empty text.
    """

    device: str
    seconds: float
    options: Sequence[Option]
    rival: str = ""

    @property
    def reason(self) -> str:
        """Why, as a sentence for people."""
        mine = next(o for o in self.options if o.device == self.device)
        if mine.reason_against:
            reasons = (f"{o.device}: {o.reason_against}" for o in self.options)
            return f"{self.device}: no device can take it ({'; '.join(reasons)})"
        if self.rival:
            other = next(o for o in self.options if o.device == self.rival)
            gain = mine.seconds - other.seconds
            return (
                f"{self.device}: it ran there before, and {self.rival} would gain only"
                f" {_time(gain)} of {_time(mine.seconds)}"
            )
        return _reason(mine, self.options)


def choose(
    options: Sequence[Option],
    current: str | None = None,
    deterministic: bool = False,
) -> Choice:
    """Return the device on which a call is done first.

    Args:
        options: one for each device. Where none has room for the call, the first is
            taken: put the CPU there.
        current: where equal calls ran before. They go on there unless another device
            gains more than 15 % and 20 microseconds.
        deterministic: disregard where calls ran before, so that the choice depends on
            the options alone.

    Returns:
        The choice. Of options that take equally long, the first.

    Example:
        >>> gpu = Option("opencl", run=100e-6, moves=900e-6)
        >>> choose([Option("cpu", run=400e-6), gpu]).reason
        'cpu: 400 us against 1000 us on opencl (900 us of them copies)'
    """
    best: Option | None = None
    here: Option | None = None
    least = stays = 0.0
    for o in options:
        if not o.refusal and (o.room is None or o.needs <= o.room):
            seconds = o.run + o.moves
            if best is None or seconds < least:
                best, least = o, seconds
            if o.device == current:
                here, stays = o, seconds
    if best is None:
        best = options[0]
        least = best.seconds
    if here is not None and here is not best and not deterministic:
        gain = stays - least
        if gain <= _LEAST or gain <= _GAIN * stays:
            return Choice(here.device, stays, options, best.device)
    return Choice(best.device, least, options)


def _reason(best: Option, options: Sequence[Option]) -> str:
    parts = []
    for o in options:
        if o is best:
            continue
        against = o.reason_against
        if against:
            parts.append(f"not {o.device}: {against}")
        else:
            parts.append(f"against {_took(o)}")
    text = f"{best.device}: {_time(best.seconds)}"
    if best.moves:
        text += f" ({_time(best.moves)} of them copies)"
    return f"{text} {', '.join(parts)}" if parts else f"{text}, the only one"


def _took(o: Option) -> str:
    text = f"{_time(o.seconds)} on {o.device}"
    return f"{text} ({_time(o.moves)} of them copies)" if o.moves else text


def _time(seconds: float) -> str:
    if seconds < 10e-3:
        return (
            f"{seconds * 1e6:.0f} us"
            if seconds >= 9.95e-6
            else f"{seconds * 1e6:.1f} us"
        )
    return f"{seconds * 1e3:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"


def _bytes(count: int) -> str:
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}" if unit != "bytes" else f"{count} bytes"


def upload_seconds(moved: Iterable[tuple[int, int]], transfer: Transfer) -> float:
    """Return what the copies of a call's arguments cost it.

    Args:
        moved: for each argument that is not there yet its bytes, and how many calls
            are expected to use the copy, this one included: an argument that was seen
            before (a weight) is charged a share only.
        transfer: the copies' rate.

    Example:
        >>> round(upload_seconds([(1000, 1), (6000, 4)], Transfer(1e-6, 1e-9)), 8)
        3.75e-06
    """
    total = 0.0
    for nbytes, uses in moved:
        total += transfer.seconds(nbytes) / max(uses, 1)
    return total
