"""rxcore.numpy."""
