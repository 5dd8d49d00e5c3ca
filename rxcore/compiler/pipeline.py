"""The page of passes: step 2 of the straight line.

A pass is a pure function from Graph to Graph. Its name is its file's name, its
function's name and its label in dumps.
"""

from __future__ import annotations

from collections.abc import Callable

from rxcore.base import config, timeline
from rxcore.compiler.graph_passes.cse import cse
from rxcore.compiler.graph_passes.dce import dce
from rxcore.compiler.graph_passes.fuse import fuse
from rxcore.compiler.graph_passes.inline import inline
from rxcore.compiler.graph_passes.simplify import simplify
from rxcore.compiler.graph_passes.tidy_scans import tidy_scans
from rxcore.compiler.graph_passes.tidy_switches import tidy_switches
from rxcore.ir.graph import Graph
from rxcore.ir.verify import verify

Pass = Callable[[Graph], Graph]

CLEAN: tuple[Pass, ...] = (simplify, cse, dce)
PASSES: tuple[Pass, ...] = (
    inline,
    *CLEAN,
    tidy_switches,
    tidy_scans,
    *CLEAN,
    fuse,
)


def optimize(graph: Graph, passes: tuple[Pass, ...] = PASSES) -> Graph:
    """Run the passes in order; with `config.verify`, check the Graph after each.

    What was cleaned and has not changed since is not cleaned again.
    """
    cleaned: Graph | None = None
    for each in passes:
        if graph is cleaned and each in CLEAN:
            continue
        with timeline.span("pass", each.__name__, before=len(graph.equations)) as told:
            graph = each(graph)
            told.note(after=len(graph.equations))
        if each is CLEAN[-1]:
            cleaned = graph
        if config.current().verify:
            verify(graph, after=each.__name__)
    return graph
