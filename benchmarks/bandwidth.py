"""What the memory of this machine gives: read, copy and triad on two Python threads.

The loops are Numba's (`nogil`, compiled for this CPU), each thread on its own half of
64 MB arrays that are touched before. Measured before and after the rows, the better
counts: another program's load can only lower it. Bytes count as the program names them:
a triad `a = b + s * c` moves three arrays; what a plain store reads is not counted.
"""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from benchmarks.environment import THREADS

SIZE = 2**24
ROUNDS = 15


@numba.njit(nogil=True, fastmath=True)
def read(_a: np.ndarray, b: np.ndarray, _c: np.ndarray) -> float:
    total = np.float32(0)
    for i in range(b.size):
        total += b[i]
    return total


@numba.njit(nogil=True)
def copy(a: np.ndarray, b: np.ndarray, _c: np.ndarray) -> float:
    for i in range(a.size):
        a[i] = b[i]
    return a[0]


@numba.njit(nogil=True)
def triad(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    for i in range(a.size):
        a[i] = b[i] + np.float32(3) * c[i]
    return a[0]


ARRAYS_MOVED = {"read": 1, "copy": 2, "triad": 3}


def measure_bandwidths() -> dict[str, float]:
    """Return the median bytes per second of each loop."""
    arrays = [np.full(SIZE, value, np.float32) for value in (0, 1, 2)]
    halves = list(zip(*(np.split(array, THREADS) for array in arrays), strict=True))
    with ThreadPoolExecutor(THREADS) as pool:
        return {
            loop.__name__: ARRAYS_MOVED[loop.__name__]
            * arrays[0].nbytes
            / median_seconds(pool, loop, halves)
            for loop in (read, copy, triad)
        }


def median_seconds(
    pool: ThreadPoolExecutor, loop: Callable[..., float], halves: list[tuple]
) -> float:
    times = []
    for _ in range(ROUNDS + 1):  # the first call compiles and is dropped
        start = time.perf_counter()
        list(pool.map(lambda half: loop(*half), halves))
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
