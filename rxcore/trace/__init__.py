"""From Python functions to Graphs: traces, tracers, capture."""
