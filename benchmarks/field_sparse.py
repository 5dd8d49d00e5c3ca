"""Rows of sparse products, their gradients, and sampled dense products."""

from functools import cache
from typing import Any

import numpy as np

from benchmarks.elementwise import draw
from benchmarks.peers import dialect, load
from benchmarks.record import Call, Make, Ratio, Row, Tolerance

SIDE, WIDTH = 8192, 64
ENTRIES = 1_000_000
LAYER = 1024


@cache
def matrix(density: float, side: int = SIDE) -> Any:
    """Draw a sparse matrix; a density of 0 asks for rows whose lengths fall off."""
    sparse = load("scipy.sparse")
    rng = np.random.default_rng(0)
    if density:
        made = sparse.random_array((side, side), density=density, rng=rng)
    else:
        lengths = np.minimum(rng.zipf(1.5, side) * 20, side)
        rows = np.repeat(np.arange(side), lengths)
        columns = rng.integers(0, side, rows.size)
        made = sparse.coo_array((np.ones(rows.size), (rows, columns)), (side, side))
    made = sparse.csr_array(made)
    made.sum_duplicates()
    made.data = rng.standard_normal(made.nnz).astype(np.float32)
    return made


def as_torch(a: Any) -> Any:
    torch = load("torch")
    parts = (a.indptr.astype(np.int32), a.indices.astype(np.int32), a.data)
    made = [torch.from_numpy(p.copy()) for p in parts]
    return torch.sparse_csr_tensor(*made, size=a.shape)


def as_jax(a: Any) -> Any:
    experimental = load("jax.experimental.sparse")
    jnp = load("jax.numpy")
    parts = [jnp.asarray(p) for p in (a.data, a.indices, a.indptr)]
    return experimental.BCSR(tuple(parts), shape=a.shape)


def product(library: str, density: float, width: int) -> Make:
    def make() -> Call:
        a = matrix(density)
        x = draw(SIDE, width) if width > 1 else draw(SIDE)
        if library == "scipy":
            return lambda: a @ x
        if library == "torch":
            t, y = as_torch(a), load("torch").from_numpy(x)
            return lambda: t @ y
        d = dialect(library)
        if library == "jax":
            made, f = as_jax(a), d.root.jit(lambda a, x: a @ x)
        else:
            made = d.root.sparse.CSR.from_scipy(a)
            f = d.root.jit(d.root.csr_matmul)
        y = d.np.asarray(x)
        return lambda: f(made, y)

    return make


def product_gradient(library: str) -> Make:
    def make() -> Call:
        a, x = matrix(0.01), draw(SIDE, WIDTH)
        if library == "torch":
            torch = load("torch")
            t = as_torch(a).requires_grad_(True)
            y = torch.from_numpy(x).requires_grad_(True)

            product = torch.sparse.mm

            def call() -> Any:
                found = torch.autograd.grad((product(t, y) ** 2).sum(), (t, y))
                return found[0].values(), found[1]

            return call
        d = dialect(library)
        if library == "jax":
            made = as_jax(a)
            experimental = load("jax.experimental.sparse")

            def loss(data: Any, x: Any) -> Any:
                parts = (data, made.indices, made.indptr)
                again = experimental.BCSR(parts, shape=a.shape)
                return d.np.sum((again @ x) ** 2)

        else:
            made = d.root.sparse.CSR.from_scipy(a)

            def loss(data: Any, x: Any) -> Any:
                return d.np.sum(d.root.csr_matmul(made.with_data(data), x) ** 2)

        f = d.root.jit(d.root.grad(loss, argnums=(0, 1)))
        data, y = d.np.asarray(a.data), d.np.asarray(x)
        return lambda: f(data, y)

    return make


def sampled(library: str) -> Make:
    def make() -> Call:
        a = matrix(ENTRIES / SIDE**2)
        x, y = draw(SIDE, WIDTH), draw(SIDE, WIDTH, seed=1)
        if library == "torch":
            torch = load("torch")
            t = as_torch(a)
            u, v = torch.from_numpy(x), torch.from_numpy(y.T.copy())
            f = torch.sparse.sampled_addmm
            return lambda: f(t, u, v, beta=0.0).values()
        d = dialect(library)
        u, v = d.np.asarray(x), d.np.asarray(y)
        if library == "jax":
            experimental = load("jax.experimental.sparse")
            rows = np.repeat(np.arange(SIDE), np.diff(a.indptr))
            places = d.np.asarray(np.stack([rows, a.indices], 1))
            dims = (((1,), (1,)), ((), ()))
            f = d.root.jit(
                lambda u, v, p: experimental.bcoo_dot_general_sampled(
                    u, v, p, dimension_numbers=dims
                )
            )
            return lambda: f(u, v, places)
        made = d.root.sparse.CSR.from_scipy(a)
        f = d.root.jit(lambda u, v, a: d.root.sparse.sddmm(u, v, a).data)
        return lambda: f(u, v, made)

    return make


def layer(library: str) -> Make:
    def make() -> Call:
        a, x = matrix(0.1, LAYER), draw(LAYER)
        d = dialect("rxcore")
        y = d.np.asarray(x)
        if library == "own dense":
            dense = d.np.asarray(a.toarray())
            f = d.root.jit(lambda a, x: a @ x)
            return lambda: f(dense, y)
        made = d.root.sparse.CSR.from_scipy(a)
        f = d.root.jit(d.root.csr_matmul)
        return lambda: f(made, y)

    return make


def product_row(name: str, title: str, density: float, width: int) -> Row:
    libraries = ("rxcore", "jax", "scipy", "torch")
    return Row(
        name=f"csr_{name}",
        title=f"csr_matmul 8192x8192, {title}",
        programs={n: product(n, density, width) for n in libraries},
        must=(Ratio(0.9, ("torch",)), Ratio(3.0, ("scipy",))),
        aim=(Ratio(1.3 if width == 1 else 1.9, ("torch",)),),
        tolerance=Tolerance(rtol=1e-4, atol=1e-3),
    )


ROWS = (
    product_row("dense_vector", "density 0.1, vector", 0.1, 1),
    product_row("dense_matrix", "density 0.1, 64 columns", 0.1, WIDTH),
    product_row("vector", "density 0.01, vector", 0.01, 1),
    product_row("matrix", "density 0.01, 64 columns", 0.01, WIDTH),
    product_row("power_vector", "power-law rows, vector", 0.0, 1),
    product_row("power_matrix", "power-law rows, 64 columns", 0.0, WIDTH),
    Row(
        name="sddmm",
        title="sddmm 8192 x 64, 1e6 entries",
        programs={n: sampled(n) for n in ("rxcore", "jax", "torch")},
        must=(Ratio(3.0, ("jax",)), Ratio(1.0, ("torch",))),
        aim=(Ratio(3.0, ("torch",)),),
        tolerance=Tolerance(rtol=1e-4, atol=1e-4),
    ),
    Row(
        name="csr_gradient",
        title="gradient of csr_matmul, density 0.01, 64 columns",
        programs={n: product_gradient(n) for n in ("rxcore", "jax", "torch")},
        must=(Ratio(3.0, ("jax",)), Ratio(1.0, ("torch",))),
        aim=(Ratio(3.0, ("torch",)),),
        tolerance=Tolerance(rtol=1e-3, atol=1e-2),
    ),
    Row(
        name="sparse_layer",
        title="90 % sparse 1024x1024 layer, batch 1",
        programs={n: layer(n) for n in ("rxcore", "own dense")},
        must=(Ratio(2.5, ("own dense",)),),
        aim=(Ratio(3.4, ("own dense",)),),
        tolerance=Tolerance(rtol=1e-4, atol=1e-4),
        wait_each=False,
    ),
)
