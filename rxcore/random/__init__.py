"""rxcore.random."""
