"""From Graphs to scheduled Nests: passes are pure functions between printable values."""
