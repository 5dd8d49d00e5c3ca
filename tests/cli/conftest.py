"""The command line on a cache of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rxcore.cli import main
from rxcore.runtime import verdicts
from rxcore.runtime.caches import clear_caches
from rxcore.runtime.devices import Target, find
from rxcore_kernels import cache

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty cache; what was made with it is forgotten at the end."""
    path = tmp_path / "cache"
    monkeypatch.setenv("RXCORE_CACHE_DIR", str(path))

    def forget() -> None:
        cache.reset()
        verdicts.forget()
        clear_caches()

    forget()
    yield path
    forget()


@pytest.fixture
def run(folder: Path) -> Run:
    """Run the command line in this process."""
    assert folder.parent.is_dir()

    def invoke(*args: str, color: bool = False) -> Result:
        return CliRunner().invoke(main, list(args), color=color, prog_name="rxcore")

    return invoke


@pytest.fixture
def target(folder: Path) -> Target:
    """Give the first OpenCL device, which has not warned of anything yet."""
    assert folder.parent.is_dir()
    found = find("opencl")
    assert found is not None
    found.warned.clear()
    return found
