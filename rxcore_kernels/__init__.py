"""Hand-tuned kernels and the small native engine that runs programs made of them."""

from rxcore_kernels.builder import (
    BuildError,
    BuildStatistics,
    Kernel,
    assembly,
    build,
    build_statistics,
)
from rxcore_kernels.source import Source

__all__ = [
    "BuildError",
    "BuildStatistics",
    "Kernel",
    "Source",
    "assembly",
    "build",
    "build_statistics",
]
