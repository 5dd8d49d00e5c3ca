"""Wrong calls of `rxcore.snn` say what was expected, what came, how to mend it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import snn
from rxcore.base import errors

XS = np.ones((10, 2, 3), np.float32)
FINE = {"beta": 0.9}


def lif(params: Any = FINE, state: Any = None, xs: Any = XS, **choices: Any) -> Any:
    return snn.lif_scan(params, state, xs, **choices)


class Unhashable:
    """A surrogate that no program can be kept for."""

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, u: Any) -> Any:
        return u


def pair(**choices: Any) -> Any:
    return snn.stdp(np.ones((3, 2)), None, np.ones(3), np.ones(2), **choices)


Case = tuple[Callable[[], Any], type[Exception], str]
WRONG: list[Case] = [
    (
        lambda: lif({"beta": 0.9, "threshold": math.nan}),
        errors.UserError,
        "lif_scan: params['threshold'] must be finite, got nan",
    ),
    (
        lambda: lif({"beta": 0.9, "threshold": math.inf}),
        errors.UserError,
        "lif_scan: params['threshold'] must be finite, got inf",
    ),
    (
        lambda: lif({"beta": 0.9, "v_reset": np.array([0.0, math.nan, 0.0])}),
        errors.UserError,
        "lif_scan: params['v_reset'] must be finite, got nan",
    ),
    (
        lambda: snn.alif_scan(
            {"beta": 0.9, "rho": 0.9, "strength": math.nan}, None, XS
        ),
        errors.UserError,
        "alif_scan: params['strength'] must be finite, got nan",
    ),
    (
        lambda: snn.izhikevich_scan({"peak": math.nan}, None, XS),
        errors.UserError,
        "izhikevich_scan: params['peak'] must be finite, got nan",
    ),
    (
        lambda: lif({"beta": 1.0}, convention="nengo", t_ref=1.5),
        errors.UserError,
        "lif_scan: params['beta'] must be between 0 and 1 for refractory='substep',"
        " got 1",
    ),
    (
        lambda: lif({"tau": math.inf}, convention="nengo", t_ref=1.5),
        errors.UserError,
        "lif_scan: params['tau'] must be finite for refractory='substep', got inf",
    ),
    (
        lambda: lif({"beta": 0.0}, gain="dt/tau"),
        errors.UserError,
        "lif_scan: params['beta'] must be positive for gain='dt/tau', got 0",
    ),
    (
        lambda: lif(convention=["norse"]),
        errors.UserError,
        "lif_scan: there is no convention ['norse']; there are 'snntorch', 'norse'",
    ),
    (
        lambda: lif(surrogate=Unhashable()),
        errors.UserError,
        "lif_scan: programs are kept by their surrogate, so it must be hashable;"
        " Unhashable is not: pass a plain function",
    ),
    (
        lambda: lif(FINE, snn.LIFState(np.zeros((2, 3)), np.zeros(5)), t_ref=2.0),
        errors.ShapeError,
        "lif_scan: state.wait has shape (5,), which does not broadcast to the neurons'"
        " shape (2, 3) (that of xs without time)",
    ),
    (
        lambda: lif(xs=XS[:, 0, 0], output="bits"),
        errors.ShapeError,
        "output='bits' packs the last axis of neurons, but xs has time alone; give xs"
        " an axis (xs[:, None]), or take output='bool'",
    ),
    (
        lambda: snn.encode.poisson(rx.random.key(0), 0.5, 3, dt="x"),  # type: ignore[arg-type]
        errors.UserError,
        "encode.poisson: dt must be positive and finite, got 'x'",
    ),
    (
        lambda: snn.encode.latency(0.5, 3, kind="log", tau=math.nan),
        errors.UserError,
        "encode.latency: tau must be positive and finite, got nan",
    ),
    (
        lambda: snn.encode.delta(np.ones((4, 3)), initial=np.ones(5)),
        errors.ShapeError,
        "encode.delta: initial has shape (5,), which does not broadcast to the neurons'"
        " shape (3,) (that of xs without time)",
    ),
    (
        lambda: snn.surrogate.lorentz(-1.0),
        errors.UserError,
        "surrogate.lorentz: its constant must be positive and finite, got -1.0",
    ),
    (
        lambda: snn.surrogate.escape(centre=math.nan),
        errors.UserError,
        "surrogate.escape: constants must be finite, got nan",
    ),
    (
        lambda: pair(a_plus=math.nan),
        errors.UserError,
        "stdp: a_plus must be finite, got nan",
    ),
    (
        lambda: pair(mu=0.5, w_max=math.inf),
        errors.UserError,
        "stdp: mu=0.5 takes what is left to w_min and w_max, so they must be finite,"
        " got w_min=0.0 and w_max=inf",
    ),
    (
        lambda: pair(tau_pre="slow"),
        errors.UserError,
        "stdp: tau_pre must be a number, got str",
    ),
    (
        lambda: lif({"tau": -1.0}),
        errors.UserError,
        "lif_scan: params['tau'] must be positive, got -1",
    ),
    (
        lambda: lif({"tau": np.array([3.0, 0.0, 1.0])}),
        errors.UserError,
        "lif_scan: params['tau'] must be positive, got 0",
    ),
    (
        lambda: lif({"tau": math.nan}),
        errors.UserError,
        "lif_scan: params['tau'] must be positive, got nan",
    ),
    (
        lambda: lif({"tau": 0.4}, discretization="euler"),
        errors.UserError,
        "lif_scan: dt=1.0 is more than twice tau=0.4: Euler's steps grow without limit;"
        " take dt <= 0.8, or discretization='exact'",
    ),
    (
        lambda: lif({"tau": 0.01}, convention="norse"),
        errors.UserError,
        "lif_scan: dt=1.0 is more than twice tau=0.01",
    ),
    (
        lambda: lif({"tau": 2.0, "beta": 0.5}),
        errors.UserError,
        "lif_scan: params must have either 'beta' (the decay per step) or 'tau' (the"
        " time constant), got both",
    ),
    (
        lambda: lif({}),
        errors.UserError,
        "lif_scan: params must have either 'beta' (the decay per step) or 'tau' (the"
        " time constant), got neither",
    ),
    (
        lambda: lif({"beta": 1.5}),
        errors.UserError,
        "lif_scan: params['beta'] must be in [0, 1], got 1.5",
    ),
    (
        lambda: lif({"beta": 0.5, "thresh": 1.0}),
        errors.UserError,
        "lif_scan: there is no parameter 'thresh'; there are beta, tau, threshold,"
        " v_reset, v_leak, r",
    ),
    (
        lambda: lif([0.9]),
        errors.TreeError,
        "lif_scan: params must be a mapping of names to arrays, got list",
    ),
    (
        lambda: lif({"beta": 0.5, "threshold": np.ones(4)}),
        errors.ShapeError,
        "lif_scan: params['threshold'] has shape (4,), which does not broadcast to the"
        " neurons' shape (2, 3) (that of xs without time)",
    ),
    (
        lambda: lif({"beta": 0.5, "v_leak": np.ones((5, 2, 3))}),
        errors.ShapeError,
        "lif_scan: params['v_leak'] has shape (5, 2, 3), which does not broadcast",
    ),
    (
        lambda: lif({"beta": 0.5, "r": 1j}),
        errors.DTypeError,
        "lif_scan: params['r'] must be real numbers, got c64[]",
    ),
    (
        lambda: lif(convention="brian"),
        errors.UserError,
        "lif_scan: there is no convention 'brian'; there are 'snntorch', 'norse',"
        " 'spikingjelly', 'nir', 'spyx', 'nengo'",
    ),
    (
        lambda: lif(reset="soft"),
        errors.UserError,
        "lif_scan: reset must be one of 'subtract', 'zero', 'value', 'none', got"
        " 'soft'",
    ),
    (
        lambda: lif(refractory="wait"),
        errors.UserError,
        "lif_scan: refractory must be one of 'hold', 'mask_input', 'clamp', 'substep',"
        " got 'wait'",
    ),
    (
        lambda: lif(spike_at="<"),
        errors.UserError,
        "lif_scan: spike_at must be one of '>', '>=', got '<'",
    ),
    (lambda: lif(dt=0.0), errors.UserError, "lif_scan: dt must be positive, got 0"),
    (
        lambda: lif(dt=-0.1),
        errors.UserError,
        "lif_scan: dt must be finite and not negative, got -0.1",
    ),
    (
        lambda: lif(t_ref=-1),
        errors.UserError,
        "lif_scan: t_ref must be finite and not negative, got -1",
    ),
    (
        lambda: lif(dt=np.ones(3)),
        errors.UserError,
        "lif_scan: dt must be a Python number, got ndarray",
    ),
    (
        lambda: lif(convention="snntorch", t_ref=2.0),
        errors.UserError,
        "lif_scan: t_ref=2.0 needs a reset in the step of the spike; pass"
        " reset_delay=False and spike_from='new', or t_ref=0",
    ),
    (
        lambda: lif(t_ref=2.0, refractory="substep"),
        errors.UserError,
        "lif_scan: refractory='substep' solves for the time of a spike: it needs"
        " discretization='exact' and reset='zero' or 'value', got 'exact' and"
        " 'subtract'",
    ),
    (
        lambda: lif(surrogate="atan"),
        errors.UserError,
        "lif_scan: surrogate must be a function from u to spikes, such as"
        " snn.surrogate.lorentz(2.0), got str",
    ),
    (
        lambda: lif(surrogate=rx.tanh, spike_at=">="),
        errors.UserError,
        "lif_scan: a surrogate of your own decides by itself where it spikes",
    ),
    (
        lambda: lif(xs=np.ones((4, 3), np.int32)),
        errors.DTypeError,
        "lif_scan: xs must be real floating, got i32[4,3]",
    ),
    (
        lambda: lif(xs=np.float32(1)),
        errors.ShapeError,
        "lif_scan: xs has rank 0; it must have time as axis 0, (time, neurons...)",
    ),
    (
        lambda: lif(state=np.zeros((2, 3))),
        errors.TreeError,
        "lif_scan: state must be None (at rest) or the LIFState of an earlier call, got"
        " ndarray",
    ),
    (
        lambda: lif(state=snn.LIFState(np.zeros(3, np.float32))),
        errors.ShapeError,
        "lif_scan: state.v has shape (3,), the neurons have (2, 3) (that of xs without"
        " time)",
    ),
    (
        lambda: snn.culif_scan({"beta": 0.5}, None, XS),
        errors.UserError,
        "culif_scan: params must have either 'alpha' (the decay per step) or 'tau_syn'"
        " (the time constant), got neither",
    ),
    (
        lambda: snn.culif_scan({"beta": 0.5, "tau_syn": -2.0}, None, XS),
        errors.UserError,
        "culif_scan: params['tau_syn'] must be positive, got -2",
    ),
    (
        lambda: snn.culif_scan({"beta": 0.5, "alpha": 0.5}, None, XS, convention="nir"),
        errors.UserError,
        "culif_scan: there is no convention 'nir'; there are 'snntorch', 'norse',"
        " 'spikingjelly'",
    ),
    (
        lambda: snn.culif_scan(
            {"beta": 0.5, "alpha": 0.5}, None, XS, current_from="old"
        ),
        errors.UserError,
        "culif_scan: current_from must be 'new' or 'previous', got 'old'",
    ),
    (
        lambda: snn.culif_scan({"beta": 0.5, "alpha": 0.5}, None, XS, resets="zero"),
        TypeError,
        "culif_scan: there is no argument 'resets'; there are discretization, gain,",
    ),
    (
        lambda: snn.alif_scan({"beta": 0.5, "rho": 0.5}, None, XS),
        errors.UserError,
        "alif_scan: params must have 'strength'",
    ),
    (
        lambda: snn.alif_scan(
            {"beta": 0.5, "rho": 0.5, "strength": 1.0}, None, XS, convention="snntorch"
        ),
        errors.UserError,
        "alif_scan: a threshold that moves needs a reset in the step of the spike",
    ),
    (
        lambda: snn.izhikevich_scan({"e": 1.0}, None, XS),
        errors.UserError,
        "izhikevich_scan: there is no parameter 'e'; there are a, b, c, d, peak",
    ),
    (
        lambda: snn.izhikevich_scan({}, None, XS, dt=4.0),
        errors.UserError,
        "izhikevich_scan: dt=4.0 in 2 substeps is longer than 1.0 ms each",
    ),
    (
        lambda: snn.izhikevich_scan({"a": 3.0}, None, XS),
        errors.UserError,
        "izhikevich_scan: params['a'] * dt must not exceed 2, got 3",
    ),
    (
        lambda: snn.izhikevich_scan({"a": -0.02}, None, XS),
        errors.UserError,
        "izhikevich_scan: params['a'] must be positive, got -0.02",
    ),
    (
        lambda: snn.izhikevich_scan({}, None, XS, substeps=0),
        errors.UserError,
        "izhikevich_scan: substeps must be a positive int, got 0",
    ),
    (
        lambda: snn.neuron_scan(None, {}, XS[0], XS),  # type: ignore[arg-type]
        errors.UserError,
        "neuron_scan: step must be a function of (params, state, x), got NoneType",
    ),
    (
        lambda: snn.encode.poisson(rx.random.key(0), XS * 2, 5),
        errors.UserError,
        "encode.poisson: rates (times dt a probability) must lie in [0, 1], got 2",
    ),
    (
        lambda: snn.encode.poisson(rx.random.key(0), XS, 0),
        errors.UserError,
        "encode.poisson: steps must be a positive int, got 0",
    ),
    (
        lambda: snn.encode.poisson(rx.random.key(0), XS.astype(int), 5),
        errors.DTypeError,
        "encode.poisson: rates must be real floating, got i64[10,2,3]; convert it",
    ),
    (
        lambda: snn.encode.latency(XS - 2, 5),
        errors.UserError,
        "encode.latency: x must lie in [0, 1], got -1",
    ),
    (
        lambda: snn.encode.latency(XS, 5, kind="exp"),
        errors.UserError,
        "encode.latency: kind must be 'linear' or 'log', got 'exp'",
    ),
    (
        lambda: snn.encode.delta(XS, threshold=-1.0),
        errors.UserError,
        "encode.delta: threshold must be positive and finite, got -1.0",
    ),
    (
        lambda: snn.decode.first_spike(np.zeros((0, 3))),
        errors.ShapeError,
        "decode.first_spike: expected time as axis 0, with at least one step, got"
        " f64[0,3]",
    ),
    (
        lambda: snn.stdp(np.ones((3, 2)), None, np.ones(2), np.ones(3)),
        errors.ShapeError,
        "stdp: expected w (n, m), pre (..., n) and post (..., m), got (3, 2), (2,) and"
        " (3,)",
    ),
    (
        lambda: snn.stdp(np.ones((3, 2)), None, np.ones(3), np.ones(2), tau_pre=-1.0),
        errors.UserError,
        "stdp: tau_pre and dt must be positive, got -1.0 and 1.0",
    ),
    (
        lambda: snn.stdp(
            np.ones((3, 2)),
            None,
            np.ones(3),
            np.ones(2),
            tau_post=0.3,
            discretization="euler",
        ),
        errors.UserError,
        "stdp: dt=1.0 is more than twice tau_post=0.3: Euler's steps grow",
    ),
    (
        lambda: snn.stdp(np.ones((3, 2)), None, np.ones(3), np.ones(2), order="post"),
        errors.UserError,
        "stdp: order must be one of 'traces_first', 'weights_first', 'pre_first', got"
        " 'post'",
    ),
    (
        lambda: snn.stdp(
            np.ones((3, 2)),
            snn.STDPTraces(np.ones(2), np.ones(2)),
            np.ones(3),
            np.ones(2),
        ),
        errors.ShapeError,
        "stdp: traces have shapes (2,) and (2,), the spikes (3,) and (2,); they must be"
        " equal",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG, ids=[c[2] for c in WRONG])
def test_messages(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_values_are_not_looked_at_inside_of_jit() -> None:
    found = rx.jit(lambda tau: lif({"tau": tau})[1])(-1.0)
    assert found.shape == XS.shape
