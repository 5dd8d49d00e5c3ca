"""Move what does not change out of scans."""

from __future__ import annotations

from rxcore.ir.graph import Graph


def hoist_scans(graph: Graph) -> Graph:
    """Move what does not change from step to step out of scans."""
    return graph
