"""rxcore.testing."""
