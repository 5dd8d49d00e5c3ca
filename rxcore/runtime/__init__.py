"""Arrays, programs and their launch."""
