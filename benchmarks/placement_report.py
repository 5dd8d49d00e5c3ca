"""From decisions, predictions and choices to rows, tables and the JSON file."""

from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from attrs import asdict, frozen

from benchmarks import report
from benchmarks.placement_cards import DEVICE, HOST, Placement
from benchmarks.placement_decision import Decision
from benchmarks.placement_measure import Calibration, Priced

LIBRARIES = ("rxcore", "numpy", "pyopencl", "pocl-binary-distribution")
# Where starting and waiting vary by more than this, nothing can be predicted.
LEAST = {"opencl-cpu": 200e-6}
HEADER = ("row", "reached", "must", "aim", "verdict")


@frozen
class Line:
    """A row: what was reached, and what it must not be above.

    Args:
        title: what is told.
        value: what was reached.
        must: what it must be.
        aim: what one would like it to be.
        unit: how it is shown: `us`, `s`, `%`, or a plain ratio.
        note: what else was reached.
    """

    title: str
    value: float
    must: float
    aim: float | None = None
    unit: str = ""
    note: str = ""

    @property
    def verdict(self) -> str:
        """What comes of it; without an aim of its own, the must is the aim."""
        if not self.value <= self.must:
            return "MISSED"
        return "aim" if self.aim is None or self.value <= self.aim else "must"

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        reached = shown(self.value, self.unit)
        aim = "-" if self.aim is None else shown(self.aim, self.unit)
        told = f"{reached} ({self.note})" if self.note else reached
        return self.title, told, shown(self.must, self.unit), aim, self.verdict


def shown(value: float, unit: str) -> str:
    match unit:
        case "us":
            return f"{value * 1e6:.2f} us"
        case "s":
            return f"{value:.1f} s"
        case "%":
            return f"{value * 100:.1f} %"
    return f"{value:.3f}"


def decision_lines(decisions: Sequence[Decision]) -> list[Line]:
    """Return the rows of decisions."""
    found = []
    for d in decisions:
        count = d.kernels[0]
        said = f"{count} kernel{'s' * (count > 1)}, {len(d.kernels)} devices"
        note = f"{d.anew.median * 1e6:.2f} us in all"
        title = f"decision for a new size, {said}: per kernel and device"
        found.append(Line(title, d.per_kernel, 1e-6, unit="us", note=note))
    if decisions:
        hit = min(d.repeated.median for d in decisions)
        found.append(Line("decision of a repeated call", hit, 0.3e-6, unit="us"))
    return found


def calibration_lines(calibrations: Sequence[Calibration]) -> list[Line]:
    """Return the rows of calibrations."""
    return [
        Line(
            f"calibration of {c.device}",
            c.measuring + c.fitting,
            10.0,
            unit="s",
            note=f"and {c.compiling:.1f} s to compile; {c.measured} of {c.programs}"
            f" measured, fitted to {c.error * 100:.0f} %",
        )
        for c in calibrations
    ]


@frozen
class Bounds:
    """What errors must be, and should be: of a prediction, and once runs were seen."""

    fresh: tuple[float, float]
    learnt: tuple[float, float]


BOUNDS = {
    "cpu": Bounds((0.22, 0.15), (0.06, 0.04)),
    "opencl-cpu": Bounds((0.35, 0.20), (0.12, 0.08)),
    "gpu": Bounds((0.35, 0.20), (0.12, 0.08)),
}


def error_lines(priced: Sequence[Priced], kinds: dict[str, str]) -> list[Line]:
    """Return the rows of errors.

    Args:
        priced: the programs.
        kinds: by device, what kind of device it is, as in a profile.
    """
    found = []
    for device, kind in kinds.items():
        least = LEAST.get(kind, 0.0)
        samples = [p.samples[device] for p in priced if device in p.samples]
        samples = [s for s in samples if s.seconds > least]
        if not samples:
            continue
        above = f" above {least * 1e6:.0f} us" if least else ""
        title = f"median error on {device}, {len(samples)} unseen programs{above}"
        bounds = BOUNDS[kind]
        for said, values, (must, aim) in (
            ("", [s.error for s in samples], bounds.fresh),
            (", after 3 runs", [s.learnt_error for s in samples], bounds.learnt),
        ):
            note = f"9 of 10 within {quantile(values, 0.9) * 100:.0f} %"
            found.append(Line(title + said, median(values), must, aim, "%", note))
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """Return the least value that such a share of values does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def regret_lines(priced: Sequence[Priced]) -> list[Line]:
    """Return the rows of regrets."""
    several = [p for p in priced if len(p.samples) > 1]
    if not several:
        return []
    found = []
    for said, choices in (
        ("", [p.choice for p in several]),
        (", after 3 runs", [p.later for p in several]),
    ):
        regrets = [p.regret(c) for p, c in zip(several, choices, strict=True)]
        wrong = sum(r > 1 for r in regrets)
        note = f"{wrong} of {len(several)} not the faster one"
        found.append(Line(f"mean regret{said}", mean(regrets), 1.08, 1.05, note=note))
        worst = max(range(len(several)), key=regrets.__getitem__)
        name = several[worst].name
        found.append(Line(f"worst regret{said}", regrets[worst], 2.0, note=name))
    return found


def kind_table(priced: Sequence[Priced], devices: Sequence[str]) -> str:
    """Print median errors by the kind of program."""
    head = ["programs", "count", "bytes"]
    for d in devices:
        head += [f"{d}: error", "after 3 runs"]
    rows = [tuple(head)]
    for kind in dict.fromkeys(p.kind for p in priced):
        mine = [p for p in priced if p.kind == kind]
        sizes = [p.nbytes for p in mine]
        cells = [kind, str(len(mine)), f"{min(sizes):.0e} to {max(sizes):.0e}"]
        for d in devices:
            samples = [p.samples[d] for p in mine if d in p.samples]
            cells += [
                share([s.error for s in samples]),
                share([s.learnt_error for s in samples]),
            ]
        rows.append(tuple(cells))
    return report.align(rows)


def share(values: Sequence[float]) -> str:
    """Print the median of errors."""
    return f"{median(values) * 100:.0f} %" if values else "-"


def card_table(placements: Sequence[Placement]) -> str:
    """Print choices between the CPU and a card that is not here."""
    rows = [("call", "arguments on the", "choice", "expected", "why")]
    where = {HOST: "host", DEVICE: "card"}
    for p in placements:
        expected = p.expected if p.as_expected else f"{p.expected} (!)"
        rows.append((p.title, where[p.lies], p.choice, expected, p.reason))
    return report.align(rows)


def table(lines: Sequence[Line]) -> str:
    """Print the rows as a Markdown table."""
    return report.align([HEADER, *(line.cells() for line in lines)])


def content(
    facts: dict[str, Any],
    lines: Sequence[Line],
    parts: dict[str, Sequence[Any]],
    quick: bool,
) -> dict[str, Any]:
    """Return everything that was measured."""
    rows = [{**asdict(line), "verdict": line.verdict} for line in lines]
    found = {name: [asdict(x) for x in each] for name, each in parts.items()}
    for told, p in zip(
        found.get("programs", []), parts.get("programs", []), strict=True
    ):
        for device, sample in p.samples.items():
            told["samples"][device]["seconds"] = sample.seconds
    return {"machine": facts, "quick": quick, "rows": rows, **found}
