"""What the doctor runs: small programs, a few for each family of ops."""

from __future__ import annotations

from rxcore.cli.suite.check import Check
from rxcore.cli.suite.suite import checks, families

__all__ = ["Check", "checks", "families"]
