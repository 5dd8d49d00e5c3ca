"""rxcore.targets."""
