"""What all tests share: Hypothesis profiles, and how much is tried."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Random programs are large, and a first one compiles the engine.
_SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, suppress_health_check=_SLOW
)
settings.register_profile(
    "long", max_examples=2000, deadline=None, suppress_health_check=_SLOW
)
settings.register_profile("default", deadline=None, suppress_health_check=_SLOW)


@pytest.fixture(scope="session")
def everything() -> bool:
    """Say whether the full product of cases is wanted (`make test-all`)."""
    return os.environ.get("RXCORE_TEST_ALL", "") not in ("", "0")


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a test an empty object cache of its own."""
    path = tmp_path / "cache"
    monkeypatch.setenv("RXCORE_CACHE_DIR", str(path))
    return path
