"""Where calls would go if there were an RX 580: choices explained, and expectations.

Nothing runs: this machine's CPU as it was calibrated, against the shipped profile of
the card. Arguments are on the host, or where the result of an earlier call would be.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen

import rxcore as rx
import rxcore.numpy as rnp

CARD = "rx580"
HOST, DEVICE = "host", "device"


@frozen
class Case:
    """A call, and where it is expected to go: `cpu`, `rx580`, or `either`.

    Args:
        title: what is computed.
        function: of arrays.
        shapes: the arguments' shapes, and dtypes where they are not float32.
        host: where it should go with its arguments on the host.
        device: where it should go with its arguments on the card.
    """

    title: str
    function: Callable[..., Any]
    shapes: tuple[Any, ...]
    host: str
    device: str


@frozen
class Placement:
    """A choice that was explained.

    Args:
        title: what is computed.
        lies: where its arguments are: host or device.
        choice: the device.
        expected: the one that was expected.
        cpu: seconds there, ways of the arguments included.
        card: seconds there.
        reason: in the words of `rx.explain`.
    """

    title: str
    lies: str
    choice: str
    expected: str
    cpu: float
    card: float
    reason: str

    @property
    def as_expected(self) -> bool:
        """Whether the choice is the expected one."""
        return self.expected in (self.choice, "either")


def chain(x: Any, y: Any) -> Any:
    return rnp.exp(x * 0.5) + y * x


def product(a: Any, b: Any) -> Any:
    return a @ b


def convolution(x: Any, w: Any) -> Any:
    return rx.conv(x, w, padding=1)


def sparse(data: Any, rows: Any, columns: Any, x: Any) -> Any:
    """Multiply a sparse matrix and a vector: gather, and add up by segments."""
    return rnp.zeros(x.shape, x.dtype).at[rows].add(data * x[columns])


def neurons(currents: Any) -> Any:
    def step(v: Any, current: Any) -> Any:
        v = v * 0.9 + current
        spike = rnp.where(v > 1.0, 1.0, 0.0)
        return v - spike, spike

    return rx.scan(step, rnp.zeros(currents.shape[1:]), currents)[1]


def flat(count: int) -> tuple[Any, ...]:
    return ((count,), (count,))


def square(side: int) -> tuple[Any, ...]:
    return ((side, side), (side, side))


def entries(rows: int, each: int) -> tuple[Any, ...]:
    many = (rows * each,)
    return (many, (many, np.int32), (many, np.int32), (rows,))


def images(count: int) -> tuple[Any, ...]:
    return ((count, 64, 32, 32), (64, 64, 3, 3))


CASES: tuple[Case, ...] = (
    Case("elementwise, 1e4", chain, flat(10_000), "cpu", "cpu"),
    Case("elementwise, 1e5", chain, flat(100_000), "cpu", CARD),
    Case("elementwise, 1e6", chain, flat(1_000_000), "cpu", CARD),
    Case("elementwise, 16M", chain, flat(1 << 24), "cpu", CARD),
    Case("matmul, 64", product, square(64), "cpu", "cpu"),
    Case("matmul, 128", product, square(128), "cpu", "cpu"),
    Case("matmul, 256", product, square(256), "cpu", "either"),
    Case("matmul, 384", product, square(384), "cpu", CARD),
    Case("matmul, 512", product, square(512), "either", CARD),
    Case("matmul, 768", product, square(768), CARD, CARD),
    Case("matmul, 1024", product, square(1024), CARD, CARD),
    Case("matmul, 2048", product, square(2048), CARD, CARD),
    Case("matmul, 4096", product, square(4096), CARD, CARD),
    Case("3x3 convolution, 1x64x32x32", convolution, images(1), "either", "either"),
    Case("3x3 convolution, 32x64x32x32", convolution, images(32), CARD, CARD),
    Case("spmv, 1e4 rows of 16", sparse, entries(10_000, 16), "cpu", "either"),
    Case("spmv, 1e6 rows of 16", sparse, entries(1_000_000, 16), "cpu", CARD),
    Case("LIF, T=100, 1,024 lanes", neurons, ((100, 1_024),), "cpu", "cpu"),
    Case("LIF, T=100, 16,384 lanes", neurons, ((100, 16_384),), "cpu", CARD),
    Case("LIF, T=100, 65,536 lanes", neurons, ((100, 65_536),), "cpu", CARD),
)


def typed(shape: Any) -> Any:
    """Return the type of an argument: a shape of float32, or with its dtype."""
    dims, dtype = shape if isinstance(shape[0], tuple) else (shape, np.float32)
    return rx.ShapeDtypeStruct(dims, dtype)


def explained(case: Case) -> list[Placement]:
    """Explain a call with its arguments on the host, and on the card."""
    args = [typed(shape) for shape in case.shapes]
    found = []
    for lies, expected in ((HOST, case.host), (DEVICE, case.device)):
        resident = "cpu" if lies == HOST else CARD
        told = rx.explain(case.function, ["cpu", CARD], resident=resident)(*args)
        cpu, card = told.estimates
        found.append(
            Placement(
                case.title,
                lies,
                told.choice,
                expected,
                cpu.predicted,
                card.predicted,
                told.reason,
            )
        )
    return found


def place_cases(cases: tuple[Case, ...] = CASES) -> list[Placement]:
    """Explain all calls."""
    return [placement for case in cases for placement in explained(case)]
