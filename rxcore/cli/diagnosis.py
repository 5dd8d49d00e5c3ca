"""Examine devices with the whole suite, and remember what they get wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field, frozen

from rxcore.cli.examine import STATUSES, Finding, Prepared, Status, examine, prepare
from rxcore.cli.journal import Journal, journal_of
from rxcore.cli.suite import Check
from rxcore.runtime import verdicts
from rxcore.runtime.caches import clear_caches
from rxcore.runtime.devices import Target

__all__ = ["Diagnosis", "Row", "diagnose"]

# Faults that say nothing of an op: another program may pass, or the next try.
_PASSING = frozenset({"memory", "limit", "unchecked"})


@frozen
class Row:
    """A family on a device: as its worst check.

    Args:
        family: which.
        findings: of its checks.
    """

    family: str
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """The worst status."""
        return max((f.status for f in self.findings), key=STATUSES.index)

    @property
    def ulps(self) -> float | None:
        """The largest error, None if nothing has been computed."""
        return max((f.ulps for f in self.findings if f.ulps is not None), default=None)

    @property
    def seconds(self) -> float:
        """How long the checks took."""
        return sum(f.seconds for f in self.findings)

    @property
    def text(self) -> str:
        """What is wrong with the worst check."""
        return next(f.text for f in self.findings if f.status == self.status)

    @property
    def on_host(self) -> tuple[str, ...]:
        """Ops that the host computed by their reference."""
        return tuple(dict.fromkeys(op for f in self.findings for op in f.on_host))


@frozen
class Diagnosis:
    """What came of the suite on a device.

    Args:
        target: the device; None is the CPU.
        findings: of each check.
        refused: the families that the device does not run from now on.
        file: where that is recorded.
    """

    target: Target | None
    findings: tuple[Finding, ...]
    refused: dict[str, str] = field(factory=dict)
    file: str | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The findings by family, in the order of the suite."""
        families = dict.fromkeys(f.check.family for f in self.findings)
        return tuple(
            Row(name, tuple(f for f in self.findings if f.check.family == name))
            for name in families
        )

    @property
    def is_wrong(self) -> bool:
        """Whether there is any wrong result."""
        return any(f.status == "wrong" for f in self.findings)


def diagnose(
    targets: Sequence[Target | None],
    checks: Sequence[Check],
    progress: Callable[[str], None] = lambda _: None,
) -> list[Diagnosis]:
    """Run checks on devices; record the families that fail, clear those that pass.

    Args:
        targets: the devices; None is the CPU, of which nothing is recorded.
        checks: what to run.
        progress: told of each check that begins.
    """
    devices = [t for t in targets if t is not None]
    before = [dict(verdicts.recorded(t.device)) for t in devices]
    if any(before):
        clear_caches()  # programs that were refused are to be made again
    patients = [
        Patient(t, journal_of(t.device) if t else Journal(None)) for t in targets
    ]
    with verdicts.ignored():
        for check in checks:
            prepared: dict[bool, Prepared] = {}
            for patient in patients:
                progress(f"{patient.target or 'cpu'}: {check.family}")
                patient.findings.append(_examine(check, prepared, patient))
    made = [_concluded(p.target, p.findings) for p in patients]
    after = [dict(verdicts.recorded(t.device)) for t in devices]
    if any(before) or any(after):
        clear_caches()  # and so are those that are refused from now on
    return made


@define
class Patient:
    """A device that is being examined.

    Args:
        target: the device; None is the CPU.
        journal: what is being run on it.
        findings: so far.
    """

    target: Target | None
    journal: Journal
    findings: list[Finding] = field(factory=list)


def _examine(check: Check, prepared: dict[bool, Prepared], patient: Patient) -> Finding:
    target, died = patient.target, patient.journal.died
    lost = next((f for f in patient.findings if f.fault == "lost"), None)
    if lost is not None:
        text = f"not checked: the device was lost in {lost.check.name!r}"
        return Finding(check, "error", text=text, fault="unchecked")
    if died is not None and died[0] == check.verdict:
        text = f"not checked: the last doctor's process ended in {died[1]!r}"
        return Finding(check, "error", text=text, fault="died")
    keeps = target is None or target.facts.denormals
    if keeps not in prepared:
        prepared[keeps] = prepare(check, keeps)
    with patient.journal.running(check.verdict, check.name):
        made = examine(prepared[keeps], target)
    if made.fault == "lost" and target is not None:
        target.fault = made.text
    return made


def _concluded(target: Target | None, findings: Sequence[Finding]) -> Diagnosis:
    """Record what fails on a device."""
    if target is None:
        return Diagnosis(None, tuple(findings))
    failures: dict[str, str] = {}
    for f in findings:
        failed = f.status == "wrong" or (
            f.status == "error" and f.fault not in _PASSING
        )
        if failed:
            failures.setdefault(f.check.verdict, f.text)
    examined = {f.check.verdict for f in findings if f.fault != "unchecked"}
    file = verdicts.record(target.device, examined, failures)
    refused = dict(verdicts.recorded(target.device))
    return Diagnosis(
        target, tuple(findings), refused, None if file is None else str(file)
    )
