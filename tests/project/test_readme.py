"""Every Python block of the README runs by itself, as a reader would run it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(match[1], TEXT.count("\n", 0, match.start(1)), id=f"line{line}")
    for match in FENCE.finditer(TEXT)
    for line in [TEXT.count("\n", 0, match.start(1)) + 1]
]


@pytest.mark.parametrize(("source", "lines_before"), BLOCKS)
def test_block_runs(source, lines_before):
    code = compile("\n" * lines_before + source, str(ROOT / "README.md"), "exec")
    assert "assert" in source, "a README block must assert what it shows"
    exec(code, {"__name__": "readme"})


def test_no_block_is_missed():
    assert len(BLOCKS) == TEXT.count("```python")
    assert BLOCKS


def test_links_to_files_hold():
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / target).is_file(), f"README.md links to a missing {target}"
