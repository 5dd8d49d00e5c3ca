"""From Graphs to scheduled Nests, by pure functions between printable values."""
