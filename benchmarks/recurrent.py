"""Rows of scans over time: an LSTM and leaky integrate-and-fire neurons."""

from typing import Any

import numpy as np

from benchmarks.contraction import compiled
from benchmarks.elementwise import draw
from benchmarks.peers import dialect, load
from benchmarks.record import Call, Make, Ratio, Row, Tolerance

TIME, BATCH, HIDDEN = 100, 32, 128
LIF_SHAPE = (100, 64, 1024)
BETA, THRESHOLD, SLOPE = 0.9, 1.0, 10.0


def lstm_inputs() -> list[np.ndarray]:
    """Draw weights of inputs and of the state, biases, and inputs over time."""
    scale = np.float32(HIDDEN**-0.5)
    return [
        draw(HIDDEN, 4 * HIDDEN) * scale,
        draw(HIDDEN, 4 * HIDDEN, seed=1) * scale,
        draw(4 * HIDDEN, seed=2) * scale,
        draw(TIME, BATCH, HIDDEN, seed=3),
    ]


def lstm_gradient(library: str) -> Make:
    def make() -> Call:
        ready: list[Any] = lstm_inputs()
        if library == "torch":
            return torch_lstm_gradient(*ready)
        d = dialect(library)

        def sigmoid(x: Any) -> Any:
            return 1 / (1 + d.np.exp(-x))

        def loss(wx: Any, wh: Any, b: Any, xs: Any) -> Any:
            def cell(state: tuple, x: Any) -> tuple:
                h, c = state
                i, f, g, o = d.np.split(x @ wx + h @ wh + b, 4, axis=-1)
                c = sigmoid(f) * c + sigmoid(i) * d.np.tanh(g)
                h = sigmoid(o) * d.np.tanh(c)
                return (h, c), h

            zero = d.np.zeros((BATCH, HIDDEN), d.np.float32)
            _, hs = d.lax.scan(cell, (zero, zero), xs)
            return d.np.sum(hs * hs)

        f = d.root.jit(d.root.grad(loss, argnums=(0, 1, 2, 3)))
        ready = [d.np.asarray(a) for a in ready]
        return lambda: f(*ready)

    return make


def torch_lstm_gradient(
    wx: np.ndarray, wh: np.ndarray, b: np.ndarray, xs: np.ndarray
) -> Call:
    torch = load("torch")
    lstm = torch.nn.LSTM(HIDDEN, HIDDEN)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.from_numpy(wx.T))
        lstm.weight_hh_l0.copy_(torch.from_numpy(wh.T))
        lstm.bias_ih_l0.copy_(torch.from_numpy(b))
        lstm.bias_hh_l0.zero_()
    inputs = torch.from_numpy(xs).requires_grad_(True)
    wanted = (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, inputs)

    def call() -> tuple:
        hs, _ = lstm(inputs)
        dwx, dwh, db, dx = torch.autograd.grad((hs * hs).sum(), wanted)
        return dwx.T, dwh.T, db, dx

    return call


def lif_currents() -> np.ndarray:
    return np.abs(draw(*LIF_SHAPE)) * np.float32(0.3)


def lif_run(library: str) -> tuple[Any, Any]:
    """Return the function from currents to spikes, and the library's dialect."""
    d = dialect(library)

    @d.root.custom_jvp
    def spike(v: Any) -> Any:
        return (v > 0).astype(d.np.float32)

    @spike.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple:
        (v,), (dv,) = primals, tangents
        return spike(v), dv / (1 + SLOPE * d.np.abs(v)) ** 2

    def step(v: Any, current: Any) -> tuple:
        v = BETA * v + current
        s = spike(v - THRESHOLD)
        return v - THRESHOLD * s, s

    def run(currents: Any) -> Any:
        start = d.np.zeros(LIF_SHAPE[1:], d.np.float32)
        return d.lax.scan(step, start, currents)[1]

    return run, d


def torch_lif() -> Any:
    torch = load("torch")

    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, v: Any) -> Any:
            ctx.save_for_backward(v)
            return (v > 0).to(v.dtype)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (v,) = ctx.saved_tensors
            return g / (1 + SLOPE * v.abs()) ** 2

    def run(currents: Any) -> Any:
        v, spikes = torch.zeros(LIF_SHAPE[1:]), []
        for current in currents:
            v = BETA * v + current
            s = Spike.apply(v - THRESHOLD)
            v = v - THRESHOLD * s
            spikes.append(s)
        return torch.stack(spikes)

    return run


def lif_forward(library: str) -> Make:
    def make() -> Call:
        currents: Any = lif_currents()
        if library == "torch":
            torch, run = load("torch"), torch_lif()
            currents = torch.from_numpy(currents)

            def call() -> Any:
                with torch.no_grad():
                    return run(currents)

            return call
        run, d = lif_run(library)
        f, currents = d.root.jit(run), d.np.asarray(currents)
        return lambda: f(currents)

    return make


def lif_gradient(library: str) -> Make:
    def make() -> Call:
        currents: Any = lif_currents()
        if library == "torch":
            torch, run = load("torch"), torch_lif()
            currents = torch.from_numpy(currents).requires_grad_(True)
            return lambda: torch.autograd.grad((run(currents) ** 2).sum(), currents)[0]
        run, d = lif_run(library)
        f = d.root.jit(d.root.grad(lambda c: d.np.sum(run(c) ** 2)))
        currents = d.np.asarray(currents)
        return lambda: f(currents)

    return make


ROWS = (
    Row(
        name="lstm_gradient",
        title="LSTM gradient, T=100, 32x128",
        programs=compiled(lstm_gradient),
        must=(Ratio(1.0, ("jax",)),),
        aim=(Ratio(2.0, ("jax",)), Ratio(1.0, ("torch",))),
        tolerance=Tolerance(rtol=1e-3, atol=2e-3),
    ),
    Row(
        name="lif",
        title="LIF scan, T=100, 64x1024",
        programs=compiled(lif_forward),
        must=(Ratio(2.0, ("jax",)),),
        aim=(Ratio(9.0, ("jax",)),),
        # A potential that meets the threshold within rounding spikes or does not.
        tolerance=Tolerance(rtol=1e-5, atol=1e-5, share=1e-4),
    ),
    Row(
        name="lif_gradient",
        title="its gradient",
        programs=compiled(lif_gradient),
        must=(Ratio(3.0, ("jax",)),),
        aim=(Ratio(11.0, ("jax",)),),
        # A spike that differs changes the gradient of the steps before it.
        tolerance=Tolerance(rtol=1e-3, atol=1e-4, share=1e-3),
    ),
)
