"""Two threads for everybody; must run before a numerical library is imported."""

import os

THREADS = 2
VARIABLES = {
    "JAX_PLATFORMS": "cpu",
    "MKL_NUM_THREADS": str(THREADS),
    "NUMBA_NUM_THREADS": str(THREADS),
    "OMP_NUM_THREADS": str(THREADS),
    "OPENBLAS_NUM_THREADS": str(THREADS),
    "RXCORE_NUM_THREADS": str(THREADS),
}


def limit_threads() -> None:
    """Leave two CPUs to this process and its children, and say so to every library.

    XLA has no setting for its number of threads; it counts the CPUs that it may use.
    """
    os.environ.update(VARIABLES)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
