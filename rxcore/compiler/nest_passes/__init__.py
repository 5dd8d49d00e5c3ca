"""Passes over Nests, one per file; `rxcore.compiler.schedule` puts them in order."""
