"""Passes over Graphs: each a pure function, one file, one name."""
