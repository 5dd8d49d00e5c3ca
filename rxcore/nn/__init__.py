"""rxcore.nn."""
