"""What the doctor is doing, on disk: a driver that breaks may end the whole process.

The next doctor finds the file, records the family that was being run, and goes on with
the others.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from rxcore.runtime.verdicts import PREFIX
from rxcore_kernels import cache
from rxcore_kernels.opencl import Device, device_stamp

__all__ = ["Journal", "journal_of"]


@define
class Journal:
    """The check that is being run on a device.

    Args:
        file: where it is written; None where no folder is usable.
        died: what an earlier process was running when it ended: the family under which
            that is recorded, and the check; None if it ended well.
    """

    file: Path | None
    died: tuple[str, str] | None = field(default=None)

    @contextmanager
    def running(self, family: str, name: str) -> Iterator[None]:
        """Leave a file as long as a check runs, whatever becomes of the process."""
        if self.file is None:
            yield
            return
        text = json.dumps({"process": os.getpid(), "family": family, "check": name})
        with contextlib.suppress(OSError):
            self.file.write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self.file.unlink()


def journal_of(device: Device) -> Journal:
    """Return the journal of a device, with what an earlier process has left in it."""
    folder = cache.current().path
    if folder is None:
        return Journal(None)
    file = folder / f"{PREFIX}{device_stamp(device)}.running"
    try:
        left = json.loads(file.read_bytes())
        died = str(left["family"]), str(left["check"])
        alive = _is_alive(int(left["process"]))
    except (OSError, ValueError, TypeError, KeyError):
        return Journal(file)
    if alive:  # another doctor, at this moment
        return Journal(None)
    with contextlib.suppress(OSError):
        file.unlink()
    return Journal(file, died)


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere a signal of 0 is no question
        return False
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return process != os.getpid()
