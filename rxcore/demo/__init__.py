"""The demo: one network, made smaller and faster in every way that rxcore knows."""
