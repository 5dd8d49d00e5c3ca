"""Rows of spiking neurons: the scan, its gradient, and a step of the user's own."""

from typing import Any

import numpy as np

from benchmarks.elementwise import draw
from benchmarks.peers import dialect, load
from benchmarks.record import Call, Make, Ratio, Row, Tolerance

SHAPE = (100, 64, 1024)
BETA, THRESHOLD, SLOPE = 0.9, 1.0, 25.0


def currents() -> np.ndarray:
    return draw(*SHAPE) * np.float32(0.6)


def jax_scan() -> Any:
    """Return snnTorch's default neuron (subtract, one step late) as a lax.scan."""
    jax, jnp = load("jax"), load("jax.numpy")

    @jax.custom_jvp
    def spike(u: Any) -> Any:
        return (u > 0).astype(u.dtype)

    @spike.defjvp
    def slope(primals: Any, tangents: Any) -> Any:
        (u,), (t,) = primals, tangents
        return spike(u), t / (1 + SLOPE * jnp.abs(u)) ** 2

    def step(v: Any, x: Any) -> Any:
        reset = jax.lax.stop_gradient(spike(v - THRESHOLD))
        v = BETA * v + x - reset * THRESHOLD
        return v, spike(v - THRESHOLD)

    zero = jnp.zeros(SHAPE[1:], jnp.float32)
    return lambda xs: jax.lax.scan(step, zero, xs)[1]


def snntorch_run() -> Any:
    torch, snntorch = load("torch"), load("snntorch")
    slope = snntorch.surrogate.fast_sigmoid(slope=SLOPE)
    cell = snntorch.Leaky(beta=BETA, threshold=THRESHOLD, spike_grad=slope)

    def run(xs: Any) -> Any:
        v, found = torch.zeros(SHAPE[1:]), []
        for x in xs:
            s, v = cell(x, v)
            found.append(s)
        return torch.stack(found)

    return run


def our_scan() -> Any:
    rx = load("rxcore")
    params = {"beta": BETA, "threshold": THRESHOLD}
    spike = rx.snn.surrogate.rational2(SLOPE)
    return lambda xs: rx.lif_scan(
        params, None, xs, convention="snntorch", surrogate=spike
    )[1]


def own_step() -> Any:
    rx = load("rxcore")
    rnp = load("rxcore.numpy")
    spike = rx.snn.surrogate.rational2(SLOPE)

    def step(params: Any, v: Any, x: Any) -> Any:
        reset = rx.stop_gradient(spike(v - params["threshold"]))
        v = params["beta"] * v + x - reset * params["threshold"]
        return v, spike(v - params["threshold"])

    params = {"beta": BETA, "threshold": THRESHOLD}

    def run(xs: Any) -> Any:
        return rx.snn.neuron_scan(step, params, rnp.zeros(SHAPE[1:]), xs)[1]

    return run


RUNS = {
    "rxcore": our_scan,
    "own lif_scan": our_scan,
    "jax": jax_scan,
    "snntorch": snntorch_run,
}


def forward(library: str, run: Any) -> Make:
    def make() -> Call:
        xs, f = currents(), run()
        if library == "snntorch":
            torch = load("torch")
            ready = torch.from_numpy(xs)

            def call() -> Any:
                with torch.no_grad():
                    return f(ready)

            return call
        d = dialect("jax" if library == "jax" else "rxcore")
        compiled, given = d.root.jit(f), d.np.asarray(xs)
        return lambda: compiled(given)

    return make


def gradient(library: str, run: Any) -> Make:
    def make() -> Call:
        xs, f = currents(), run()
        if library == "snntorch":
            torch = load("torch")
            ready = torch.from_numpy(xs).requires_grad_(True)
            return lambda: torch.autograd.grad((f(ready) ** 2).sum(), ready)[0]
        d = dialect("jax" if library == "jax" else "rxcore")
        compiled = d.root.jit(d.root.grad(lambda x: d.np.sum(f(x) ** 2)))
        given = d.np.asarray(xs)
        return lambda: compiled(given)

    return make


# A potential that meets the threshold within rounding spikes or does not.
SPIKES = Tolerance(rtol=1e-5, atol=1e-5, share=1e-4)
GRADIENTS = Tolerance(rtol=1e-3, atol=1e-4, share=1e-3)
PEERS = ("rxcore", "jax", "snntorch")

ROWS = (
    Row(
        name="lif_scan",
        title="lif_scan, T=100, 64x1024",
        programs={n: forward(n, RUNS[n]) for n in PEERS},
        must=(Ratio(1.5, ("jax",)), Ratio(6.0, ("snntorch",))),
        aim=(Ratio(9.0, ("jax",)),),
        tolerance=SPIKES,
    ),
    Row(
        name="lif_scan_gradient",
        title="its gradient",
        programs={n: gradient(n, RUNS[n]) for n in PEERS},
        must=(Ratio(3.0, ("jax",)), Ratio(15.0, ("snntorch",))),
        aim=(Ratio(11.0, ("jax",)),),
        tolerance=GRADIENTS,
    ),
    Row(
        name="neuron_scan",
        title="the same by neuron_scan with a step of one's own",
        programs={
            "rxcore": forward("rxcore", own_step),
            "own lif_scan": forward("own lif_scan", our_scan),
        },
        must=(Ratio(0.9, ("own lif_scan",)),),
        aim=(Ratio(0.95, ("own lif_scan",)),),
        tolerance=SPIKES,
    ),
    Row(
        name="neuron_scan_gradient",
        title="its gradient",
        programs={
            "rxcore": gradient("rxcore", own_step),
            "own lif_scan": gradient("own lif_scan", our_scan),
        },
        must=(Ratio(0.9, ("own lif_scan",)),),
        aim=(Ratio(0.95, ("own lif_scan",)),),
        tolerance=GRADIENTS,
    ),
)
