"""The committed table of ops is what the registry says."""

from pathlib import Path

from rxcore.testing.op_table import table

TABLE = Path(__file__).with_name("table.md")


def test_table_is_what_the_registry_says() -> None:
    made = "python -m rxcore.testing.op_table tests/ops/table.md"
    assert TABLE.read_text(encoding="utf-8") == table(), f"outdated: run {made}"
