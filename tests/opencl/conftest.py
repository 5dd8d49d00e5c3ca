"""A second device for all tests here: the first one, described as a small one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rxcore_kernels import opencl
from tests.opencl.small import both
from tests.ops.cases import EVERYTHING

# A simulator is no part of what `make test` needs.
collect_ignore = [] if EVERYTHING else ["test_oclgrind.py"]


@pytest.fixture(scope="module", autouse=True)
def _two_devices() -> Iterator[None]:
    """Let `opencl` be the first device, `opencl:1` the same with small facts."""
    real = opencl.devices
    with pytest.MonkeyPatch.context() as patch:
        # In a forked child there is none.
        patch.setattr(opencl, "devices", lambda: both(real()[0]) if real() else ())
        yield
