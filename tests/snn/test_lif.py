"""lif_scan: closed forms, packages' formulas, and laws of its choices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore import snn
from tests.snn import formulas

RNG = np.random.default_rng(7)
# Currents that spike in about a tenth of all steps.
XS = (np.abs(RNG.standard_normal((300, 4, 16))) * 0.3).astype(np.float32)


def spikes_of(params: Any, xs: Any, **choices: Any) -> Any:
    return np.asarray(snn.lif_scan(params, None, xs, **choices)[1])


# closed forms ------------------------------------------------------------------------

INTERVALS = [  # R I, and steps between spikes: exact hold, exact clamp, Euler hold
    (1.2, 200, 199, 199),
    (1.5, 130, 129, 130),
    (2.0, 90, 89, 89),
    (5.0, 43, 42, 43),
]


def intervals(ri: float, **choices: Any) -> Any:
    found = spikes_of(
        {"tau": 10.0, "r": ri, "v_reset": 0.0},
        np.ones((3000, 1)),
        dt=0.1,
        gain="1-decay",
        **choices,
    )
    return np.diff(np.flatnonzero(found[:, 0]))


@pytest.mark.parametrize(("ri", "hold", "clamp", "euler"), INTERVALS)
def test_firing_rates(ri: float, hold: int, clamp: int, euler: int) -> None:
    for convention, discretization, steps in (
        ("hold", "exact", hold),
        ("mask_input", "exact", hold),
        ("clamp", "exact", clamp),
        ("hold", "euler", euler),
    ):
        choices = {"refractory": convention, "discretization": discretization}
        found = intervals(ri, t_ref=2.0, **choices)
        assert len(found) > 5
        assert set(found) == {steps}


@pytest.mark.parametrize("ri", [row[0] for row in INTERVALS])
def test_substeps_keep_the_mean_rate(ri: float) -> None:
    exact = (2 + 10 * math.log(ri / (ri - 1))) / 0.1
    found = intervals(ri, t_ref=2.0, refractory="substep")
    assert found.mean() == pytest.approx(exact, abs=1 / len(found))


def test_no_refractory_time_is_none() -> None:
    steps = math.floor(100 * math.log(2 / (2 - 1))) + 1
    for refractory in ("hold", "mask_input", "clamp"):
        assert set(intervals(2.0, refractory=refractory)) == {steps}


def test_a_potential_below_threshold_follows_the_closed_form() -> None:
    time = np.arange(1, 201) * 0.1
    state, trace = snn.lif_scan(
        {"tau": 10.0, "v_leak": 0.25, "r": 0.5},
        None,
        np.ones((200, 1)),
        dt=0.1,
        gain="1-decay",
        output="trace",
    )
    expected = 0.25 + 0.5 * (1 - np.exp(-time / 10))
    np.testing.assert_allclose(np.asarray(trace)[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(state.v), expected[-1:], rtol=1e-12)


# packages' formulas ------------------------------------------------------------------

Peer = Callable[[Any], Any]
PRESETS: dict[str, tuple[Peer, dict[str, Any], dict[str, Any]]] = {
    "norse": (
        lambda x: formulas.norse(x, 100.0, 1e-3, 1.0, 0.1),
        {"tau": 0.01, "v_reset": 0.1},
        {"convention": "norse", "dt": 1e-3},
    ),
    "spikingjelly": (
        lambda x: formulas.spikingjelly(x, 20.0, 0.0, True),
        {"tau": 20.0},
        {"convention": "spikingjelly"},
    ),
    "spikingjelly rests at its reset": (
        lambda x: formulas.spikingjelly(x, 3.0, -0.2, True),
        {"tau": 3.0, "v_reset": -0.2},
        {"convention": "spikingjelly"},
    ),
    "spikingjelly soft": (
        lambda x: formulas.spikingjelly(x, 2.0, None, True),
        {"tau": 2.0},
        {"convention": "spikingjelly", "reset": "subtract"},
    ),
    "spikingjelly, input whole": (
        lambda x: formulas.spikingjelly(x / 5, 20.0, 0.0, False),
        {"tau": 20.0, "r": 0.2},
        {"convention": "spikingjelly", "gain": "r"},
    ),
    "nir": (
        lambda x: formulas.norse(x, 100.0, 1e-3, 1.0, 0.0),
        {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_reset": 0.0, "threshold": 1.0},
        {"convention": "nir", "dt": 1e-3},
    ),
    "spyx": (
        lambda x: formulas.spyx(x / 8, 0.9),
        {"beta": 0.9, "r": 0.125},
        {"convention": "spyx"},
    ),
    "nengo": (
        lambda x: formulas.nengo(x, 10.0, 2.5, 1.0),
        {"tau": 10.0},
        {"convention": "nengo", "t_ref": 2.5},
    ),
    "bindsnet": (
        lambda x: formulas.bindsnet(x / 8, 0.9, 3),
        {"beta": 0.9, "r": 0.125, "v_reset": 0.0},
        {"spike_at": ">=", "refractory": "mask_input", "t_ref": 3},
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PRESETS)
def test_spikes_equal_those_of_the_formulas(name: str, dtype: str) -> None:
    peer, params, choices = PRESETS[name]
    xs = XS.astype(dtype) * 8
    spikes, trace = peer(xs)
    _, (found, potentials) = snn.lif_scan(params, None, xs, output="both", **choices)
    assert 0.01 < spikes.mean() < 0.9
    assert found.dtype == dtype
    np.testing.assert_array_equal(np.asarray(found), spikes)
    np.testing.assert_allclose(np.asarray(potentials), trace, rtol=1e-4, atol=1e-5)


def test_a_tie_is_where_strictness_matters() -> None:
    xs = np.full((8, 1), 0.5, np.float32)
    strict = spikes_of({"beta": 1.0}, xs, spike_at=">")
    loose = spikes_of({"beta": 1.0}, xs, spike_at=">=")
    np.testing.assert_array_equal(strict[:, 0], [0, 0, 1, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(loose[:, 0], [0, 1, 0, 1, 0, 1, 0, 1])


def test_a_late_reset_to_zero_gives_the_spikes_of_a_prompt_one() -> None:
    pair = [
        spikes_of({"beta": 0.9}, XS, reset="zero", reset_delay=late)
        for late in (False, True)
    ]
    np.testing.assert_array_equal(*pair)


def test_spyx_is_snntorch_one_step_later() -> None:
    late = spikes_of({"beta": 0.9}, XS, convention="spyx")
    prompt = spikes_of({"beta": 0.9}, XS, convention="snntorch")
    np.testing.assert_array_equal(late[1:], prompt[:-1])
    assert not late[0].any()


# laws --------------------------------------------------------------------------------

CHOICES: list[dict[str, Any]] = [
    {},
    {"reset": "zero"},
    {"reset": "none"},
    {"reset": "value", "detach_reset": False},
    {"reset_delay": True},
    {"reset": "value", "reset_delay": True},
    {"spike_from": "previous"},
    {"reset_delay": True, "spike_from": "previous", "detach_reset": False},
    {"gain": "1-decay"},
    {"gain": "dt/tau"},
    {"discretization": "euler"},
    {"discretization": "euler", "gain": "dt/tau", "dt": 0.5},
    {"t_ref": 3},
    {"t_ref": 3, "refractory": "mask_input"},
    {"t_ref": 3, "refractory": "clamp"},
    {"t_ref": 2.5, "refractory": "substep", "reset": "zero"},
    {"spike_at": ">=", "reset": "zero"},
]
PARAMS: dict[str, Any] = {
    "tau": np.linspace(3, 12, 16, dtype=np.float32),
    "threshold": 0.9,
    "v_reset": -0.1,
    "v_leak": 0.05,
    "r": 1.5,
}


def inputs(choices: dict[str, Any]) -> Any:
    """Return currents that spike at a similar rate under every gain."""
    return XS * np.float32(10 if choices.get("gain") else 1)


def same(found: Any, expected: Any) -> None:
    found, expected = rx.tree.leaves(found), rx.tree.leaves(expected)
    assert len(found) == len(expected)
    for f, e in zip(found, expected, strict=True):
        assert f.type.strong() == e.type.strong()
        np.testing.assert_array_equal(np.asarray(f), np.asarray(e))


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_time_can_be_cut_anywhere(choices: dict[str, Any]) -> None:
    xs = inputs(choices)
    whole, out = snn.lif_scan(PARAMS, None, xs, **choices)
    assert 0.01 < np.asarray(out).mean() < 0.99
    state, first = snn.lif_scan(PARAMS, None, xs[:113], **choices)
    state, second = snn.lif_scan(PARAMS, state, xs[113:], **choices)
    same((state, rnp.concatenate([first, second])), (whole, out))


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_a_python_loop_gives_what_the_scan_gives(choices: dict[str, Any]) -> None:
    xs = inputs(choices)[:40]
    whole, out = snn.lif_scan(PARAMS, None, xs, **choices)
    state, rows = None, []
    for x in xs:
        state, row = snn.lif_scan(PARAMS, state, x[None], **choices)
        rows.append(row)
    same((state, rnp.concatenate(rows)), (whole, out))


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_transforms_compose(choices: dict[str, Any]) -> None:
    xs = inputs(choices)[:30]

    def loss(params: Any, x: Any) -> Any:
        state, out = snn.lif_scan(params, None, x, output="both", **choices)
        return (out[0] * out[1]).sum() + state.v.sum()

    params = {k: rx.asarray(v) for k, v in PARAMS.items()}
    whole = rx.jit(rx.grad(loss, argnums=(0, 1)))
    slow = rx.grad(loss, argnums=(0, 1))
    rows = rx.vmap(whole, in_axes=(None, 1))(params, rx.asarray(xs))
    for j in range(xs.shape[1]):
        one = slow(params, rx.asarray(xs[:, j]))
        for a, b in zip(rx.tree.leaves(rows), rx.tree.leaves(one), strict=True):
            pair = np.asarray(a)[j], np.asarray(b)
            np.testing.assert_allclose(*pair, rtol=2e-4, atol=2e-4)


def test_outputs_are_views_of_one_run() -> None:
    params = {"beta": 0.9}
    got = {
        name: snn.lif_scan(params, None, XS[..., :11], output=name)[1]
        for name in ("spikes", "trace", "both", "bool", "bits")
    }
    same(got["both"], (got["spikes"], got["trace"]))
    spikes = np.asarray(got["spikes"])
    assert got["bool"].dtype == np.bool_
    np.testing.assert_array_equal(np.asarray(got["bool"]), spikes == 1)
    expected = np.packbits(spikes == 1, axis=-1, bitorder="little")
    assert got["bits"].dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(got["bits"]), expected)


@pytest.mark.parametrize("shape", [(0, 4), (5, 0), (0, 2, 9), (3, 1)])
def test_bits_of_nothing_are_bytes_too(shape: tuple[int, ...]) -> None:
    bits = snn.lif_scan({"beta": 0.9}, None, np.ones(shape), output="bits")[1]
    assert bits.dtype == np.uint8
    assert bits.shape == (*shape[:-1], -(-shape[-1] // 8))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_keep_wide_potentials(dtype: str) -> None:
    xs = rx.asarray(XS).astype(dtype)
    state, out = snn.lif_scan({"beta": 0.9}, None, xs)
    wide, expected = snn.lif_scan({"beta": 0.9}, None, xs.astype("float32"))
    assert str(out.dtype) == dtype
    same(state, wide)
    np.testing.assert_array_equal(np.asarray(out, np.float32), np.asarray(expected))


def test_rest_is_the_leak() -> None:
    params = {"beta": 0.5, "v_leak": np.float32(0.25)}
    state, _ = snn.lif_scan(params, None, np.zeros((5, 3), np.float32))
    np.testing.assert_array_equal(np.asarray(state.v), [0.25] * 3)
    state, out = snn.lif_scan(params, None, np.zeros((0, 3), np.float32))
    assert out.shape == (0, 3)
    np.testing.assert_array_equal(np.asarray(state.v), [0.25] * 3)


def test_neurons_may_be_one_or_of_any_rank() -> None:
    flat = spikes_of({"beta": 0.9}, XS.reshape(300, 64))
    np.testing.assert_array_equal(spikes_of({"beta": 0.9}, XS), flat.reshape(XS.shape))
    one = spikes_of({"beta": 0.9}, XS[:, 0, 0])
    np.testing.assert_array_equal(one, flat[:, 0])


def test_explicit_choices_win_over_a_convention() -> None:
    changed = spikes_of({"beta": 0.9}, XS, convention="snntorch", reset_delay=False)
    np.testing.assert_array_equal(changed, spikes_of({"beta": 0.9}, XS))
