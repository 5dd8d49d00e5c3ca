"""Separate: store every value; each equation is a nest of its own."""

from __future__ import annotations

from typing import Any

from rxcore.compiler.forms import is_dense
from rxcore.compiler.graph_passes.fuse import Fuser
from rxcore.ir.graph import Graph


class Separator(Fuser):
    """Makes groups of one root each."""

    def fits(self, *_: Any) -> str:
        """Say that a root joins no group."""
        return ""

    def inner(self, graph: Graph) -> Graph:
        """Return a held Graph, separated."""
        return separate(graph)


def separate(graph: Graph) -> Graph:
    """Store every value; each equation is a nest of its own.

    It stands in for `fuse` to tell a wrong fusion from a wrong op.
    """
    every = {v for e in graph.equations if not is_dense(e) for v in e.outputs}
    return Separator(graph, every).run()
