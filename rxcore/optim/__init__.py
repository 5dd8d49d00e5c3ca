"""rxcore.optim."""
