"""The demo's page: accuracy against bytes, masks, spikes, the cost model's terms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rxcore.base import errors
from rxcore.base.lazy import LazyModule
from rxcore.demo.record import Method, Pictures

__all__ = ["check_page", "draw_page"]

matplotlib = LazyModule("matplotlib", "demo")
figure = LazyModule("matplotlib.figure", "demo")
canvas = LazyModule("matplotlib.backend_bases", "demo")

INK, GREY = "#22252a", "#9aa3ad"
COLORS = ("#2f6db5", "#c8322b", "#3a8f5c", "#b07a1e", "#7b4fa3", "#20868c", "#555c66")
PARTS = ("launch", "memory", "arithmetic", "serial", "transfers")


def check_page(path: Path) -> None:
    """Check that a page can be drawn, before what it shows is computed.

    Raises:
        UserError: when matplotlib is missing, or the suffix names no format of it.
    """
    known = canvas.FigureCanvasBase.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in known:
        raise errors.UserError(
            f"--output {path}: there is no format {path.suffix!r}; there are"
            f" {', '.join(sorted(known))}"
        )


def draw_page(methods: Sequence[Method], pictures: Pictures, path: Path) -> None:
    """Draw the page and save it.

    Args:
        methods: what was measured of each way to predict.
        pictures: masks, spikes, and the cost model's terms.
        path: where the figure goes; its folder is made.
    """
    style = {
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "font.size": 8,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with matplotlib.rc_context(style):
        page = figure.Figure(figsize=(11, 7.4), dpi=110, layout="constrained")
        grid = page.add_gridspec(2, 6)
        _draw_sizes(page.add_subplot(grid[0, :3]), methods)
        _draw_terms(page.add_subplot(grid[0, 3:]), pictures)
        for k, (title, weights) in enumerate(pictures.weights[:3]):
            _draw_weights(page.add_subplot(grid[1, k]), title, weights)
        _draw_spikes(page.add_subplot(grid[1, 3:]), pictures)
        path.parent.mkdir(parents=True, exist_ok=True)
        page.savefig(path)


def _draw_sizes(axes: Any, methods: Sequence[Method]) -> None:
    # Neighbours get their names above and below in turn, so that they do not overlap.
    order = sorted(range(len(methods)), key=lambda k: methods[k].nbytes)
    for rank, k in enumerate(order):
        m, above = methods[k], rank % 2 == 0
        x, y = m.nbytes / 1000, 100 * m.accuracy
        axes.scatter(x, y, color=COLORS[k % len(COLORS)], zorder=3, s=30)
        axes.annotate(
            m.name,
            (x, y),
            xytext=(0, 6 if above else -6),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=7,
        )
    axes.set_xscale("log")
    axes.set(xlabel="kB stored, everything counted", ylabel="held-out accuracy, %")
    axes.set_title("Accuracy against bytes")
    axes.margins(x=0.15, y=0.15)
    axes.grid(color=GREY, alpha=0.25, linewidth=0.6)


def _draw_terms(axes: Any, pictures: Pictures) -> None:
    names = [name for name, _ in pictures.terms]
    rows = [[terms.get(part, 0.0) for part in PARTS] for _, terms in pictures.terms]
    seconds = np.asarray(rows)
    totals = seconds.sum(1)
    shares = 100 * seconds / np.maximum(totals, 1e-30)[:, None]
    left = np.zeros(len(names))
    for k, part in enumerate(PARTS):
        if shares[:, k].any():
            axes.barh(names, shares[:, k], left=left, color=COLORS[k], label=part)
            left += shares[:, k]
    for k, total in enumerate(totals):
        axes.text(101, k, f"{total * 1e6:,.0f} us", va="center", fontsize=7)
    axes.set(xlim=(0, 112), xlabel="share of the predicted time of a batch of 256, %")
    axes.set_title("What the cost model sees")
    axes.invert_yaxis()
    axes.legend(
        frameon=False, fontsize=7, ncols=5, loc="lower left", bbox_to_anchor=(0, -0.28)
    )


def _draw_weights(axes: Any, title: str, weights: Any) -> None:
    size = np.abs(weights)
    most = float(np.quantile(size[size > 0], 0.9)) if size.any() else 1.0
    shown = {"cmap": "gray_r", "aspect": "auto", "interpolation": "nearest"}
    axes.imshow(size, vmin=0, vmax=most, **shown)
    axes.set_title(title, fontsize=7)
    axes.set(xticks=[], yticks=[])


def _draw_spikes(axes: Any, pictures: Pictures) -> None:
    times, neurons = np.nonzero(np.asarray(pictures.spikes))
    axes.scatter(times, neurons, s=3, marker="|", color=COLORS[0], linewidths=0.8)
    axes.set(xlabel="time step", ylabel="hidden neuron")
    axes.set_title(f"Spikes while it looks at a {pictures.digit}")
