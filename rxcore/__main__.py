"""`python -m rxcore`: the command line."""

from __future__ import annotations

from rxcore.cli import main

if __name__ == "__main__":
    main(prog_name="rxcore")
