"""Notebooks are pairs: the text that is reviewed, and the same without outputs."""

from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext")

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
NAMES = ("composing_transforms", "compress_a_model", "spiking_networks")
LARGEST = 200_000


def cells_of(path):
    notebook = jupytext.read(path)
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_every_notebook_is_named():
    found = {path.stem for path in FOLDER.iterdir() if path.suffix in (".py", ".ipynb")}
    assert found == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_pair_is_in_step(name):
    notebook = FOLDER / f"{name}.ipynb"
    text = FOLDER / f"{name}.py"
    assert cells_of(notebook) == cells_of(text), "run jupytext --sync notebooks/*.ipynb"
    run = [cell for cell in cells_of(notebook) if cell[0] == "code"]
    assert len(run) > 1


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_stored_but_cells(name):
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size < LARGEST
    notebook = jupytext.read(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        assert "attachments" not in cell
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("name", NAMES)
def test_begins_with_a_title(name):
    kind, source = cells_of(FOLDER / f"{name}.py")[0]
    assert kind == "markdown"
    assert source.startswith("# ")
    assert len(source.split("\n\n")) > 1, "a title alone does not say what is shown"
