"""Laws of scores, schedules, reports and what goes with fine-tuning."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
from rxcore import prune
from rxcore.base import errors
from rxcore.prune import score

RNG = np.random.default_rng(0)
W, G = (RNG.standard_normal((6, 8)).astype(np.float32) for _ in range(2))


def test_elementwise_scores_mean_their_formulas():
    tree = {"w": W, "b": None}
    found = {
        "magnitude": score.magnitude(tree)["w"],
        "l1": score.l1(tree)["w"],
        "l2": score.l2(tree)["w"],
        "absolute": score.taylor(tree, {"w": G, "b": None})["w"],
        "squared": score.taylor(W, G, "squared"),
        "movement": score.movement(W, G, score.movement(W, G, rate=0.5)),
    }
    want = {
        "magnitude": np.abs(W),
        "l1": np.abs(W),
        "l2": W * W,
        "absolute": np.abs(W * G),
        "squared": (W * G) ** 2,
        "movement": -1.5 * W * G,
    }
    for name, value in want.items():
        np.testing.assert_allclose(found[name], value, 1e-6, err_msg=name)


@pytest.mark.parametrize(
    "structure", ["filter", "channel", prune.Block((4, 3)), prune.Slices(1, 2)]
)
@pytest.mark.parametrize("variant", ["group_absolute", "group_squared"])
def test_group_rules_add_up_to_the_unit(structure, variant):
    found = score.taylor(W, G, variant, structure=structure)
    one = rx.prune.structure.structure_of(structure, W.shape, "test")
    total = rx.prune.structure.sum_units(rx.asarray(W * G), one)
    want = np.abs(total) if variant == "group_absolute" else np.square(total)
    got = rx.prune.structure.sum_units(found, one)
    np.testing.assert_allclose(got, want, 1e-4, 1e-6)


def test_first_order_is_the_derivative_of_leaving_a_weight_out():
    def loss(w):
        return rx.numpy.sum(rx.numpy.tanh(w) * G)

    small = W * 1e-3
    base = float(loss(rx.asarray(small.astype(np.float64))))
    grads = np.asarray(rx.grad(loss)(small.astype(np.float64)))
    for i, j in ((0, 0), (3, 5)):
        without = small.astype(np.float64)
        without[i, j] = 0
        change = abs(base - float(loss(rx.asarray(without))))
        found = np.asarray(score.taylor(small.astype(np.float64), grads))[i, j]
        assert found == pytest.approx(change, rel=1e-4)


def test_lamp_is_the_share_of_what_is_at_least_as_large():
    w = RNG.integers(-4, 5, (5, 7)).astype(np.float64)
    square = w * w
    total = np.array([[square[square >= s].sum() for s in row] for row in square])
    want = np.where(total > 0, square / np.maximum(total, 1), 0)
    np.testing.assert_allclose(score.lamp(w), want, 1e-12)


def test_normalized_leaves_compare():
    tree = {"a": W, "b": 100 * W}
    for by in ("l2", "mean"):
        found = score.normalize(tree, by)
        np.testing.assert_allclose(found["a"], found["b"], 1e-5)
    assert float((score.normalize(W, "l2") ** 2).sum()) == pytest.approx(1, rel=1e-5)


def test_random_scores_follow_the_key_and_differ_between_leaves():
    tree = {"a": W, "b": W}
    one, same = (score.random(rx.random.key(3), tree) for _ in range(2))
    assert np.array_equal(one["a"], same["a"])
    assert not np.array_equal(one["a"], one["b"])


# schedules --------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    begin=st.integers(0, 50),
    length=st.integers(0, 300),
    frequency=st.integers(1, 60),
    initial=st.floats(0, 0.5),
    final=st.floats(0.5, 0.99),
)
def test_the_cubic_schedule_rises_to_exactly_the_end(
    begin, length, frequency, initial, final
):
    end = begin + length
    schedule = prune.cubic(begin, end, frequency, initial, final)
    steps = range(end + frequency + 2)
    due = [t for t in steps if bool(schedule.due(t))]
    assert due == list(range(begin, end + 1, frequency))
    values = [schedule.sparsity(t) for t in steps]
    assert values == sorted(values)
    assert values[due[-1]] == pytest.approx(final, abs=1e-12)
    assert values[-1] == pytest.approx(final, abs=1e-12)
    if len(due) > 1:
        assert values[0] == pytest.approx(initial, abs=1e-12)
        middle = due[len(due) // 2]
        share = (middle - begin) / (due[-1] - begin)
        want = final + (initial - final) * (1 - share) ** 3
        assert values[middle] == pytest.approx(want, abs=1e-12)
        # It holds between updates.
        assert values[due[1] - 1] == values[due[0]]


def test_a_traced_step_means_the_same():
    schedule = prune.cubic(3, 40, 5, 0.1, 0.9)
    steps = np.arange(60)
    got = rx.jit(lambda t: (schedule.sparsity(t), schedule.due(t)))(steps)
    np.testing.assert_allclose(
        got[0], [schedule.sparsity(int(t)) for t in steps], 1e-12
    )
    assert np.asarray(got[1]).tolist() == [bool(schedule.due(int(t))) for t in steps]


def test_gradual_pruning_is_the_same_inside_jit_and_ends_at_the_count():
    pruner = prune.gradual(prune.cubic(2, 12, 5, 0.0, 0.75))
    params = {"w": W, "b": np.ones(8, np.float32)}
    runs = []
    for wrap in (lambda f: f, rx.jit):
        p, state = params, pruner.init(params)
        update = wrap(pruner.update)
        kept = []
        for _ in range(14):
            p, state = update(p, state)
            kept.append(int((np.asarray(p["w"]) != 0).sum()))
        assert state.masks["b"] is None
        assert np.asarray(p["b"]).all()
        runs.append(kept)
    assert runs[0] == runs[1]
    assert runs[0][:3] == [48, 48, 48]
    assert runs[0][7] == round(48 * (1 - 0.75 * (1 - 0.5**3)))
    assert runs[0][-1] == 12


def test_one_shot_prunes_once_and_stays():
    pruner = prune.gradual(prune.one_shot(0.5, 1), scope="tensor")
    state = pruner.init(W)
    p, state = pruner.update(W, state)
    assert np.array_equal(p, W)
    p, state = pruner.update(p, state, scores=-np.abs(W))
    smallest = np.asarray(prune.prune_mask(-np.abs(W), 0.5))
    assert np.array_equal(np.asarray(p) != 0, smallest)
    p, state = pruner.update(p + 1, state)
    assert np.array_equal(np.asarray(p) != 0, smallest)


@pytest.mark.parametrize(("shape", "axes"), [((200, 9), (0,)), ((9, 40, 5), (1, 2))])
def test_rescaled_weights_keep_the_spread_of_sums(shape, axes):
    rng = np.random.default_rng(0)
    w = (rng.standard_normal(shape) / np.sqrt(200)).astype(np.float32)
    mask = rng.random(shape) < 0.2
    found = np.asarray(prune.rescale({"w": w, "b": None}, {"w": mask, "b": None})["w"])
    assert (found[~mask] == 0).all()
    assert (found**2).sum(axes).mean() == pytest.approx(1, rel=0.2)
    assert np.array_equal(prune.rescale(w, np.ones(shape, bool)), w)


# reports ----------------------------------------------------------------------------


def test_a_report_counts():
    mask = np.zeros((6, 8), bool)
    mask[:2, :3] = True
    found = prune.report({"w": W, "b": np.ones(8)}, {"w": mask, "b": None})
    row = next(r for r in found.rows if r.name == "['w']")
    assert (row.kept, row.size, row.filters, row.channels) == (6, 48, 2, 3)
    assert found.total.kept == 14
    assert found.sparsity == pytest.approx(1 - 14 / 56)
    assert "12.50 %" not in str(found)
    assert "75.00 %" in str(found)


# fine-tuning ------------------------------------------------------------------------


def test_warmup_then_cosine_counts_the_rise():
    rate = prune.warmup_cosine(2.0, 100, warmup=10, end=0.5)
    values = np.array([float(rate(t)) for t in range(120)])
    assert values[0] == 0
    assert values[5] == pytest.approx(1.0)
    assert values[10] == pytest.approx(2.0)
    assert values[55] == pytest.approx(1.25)
    assert (values[100:] == 0.5).all()
    assert (np.diff(values[10:]) <= 1e-6).all()


@pytest.mark.parametrize("mode", ["min", "max"])
def test_early_stopping_restores_everything_of_the_best(mode):
    sign = 1 if mode == "min" else -1
    stopping = prune.early_stopping(3, min_delta=0.1, mode=mode)
    losses = [3.0, 2.0, 1.95, np.nan, 2.5, 0.0]
    everything = {"w": np.float32([0]), "mask": np.bool_([True]), "step": np.int32(0)}
    state, update = stopping.init(everything), rx.jit(stopping.update)
    stopped = []
    for k, loss in enumerate(losses):
        now = {
            "w": np.float32([k]),
            "mask": np.bool_([k % 2]),
            "step": np.int32(k),
        }
        state = update(np.float32(sign * loss), now, state)
        stopped.append(bool(state.stop))
        if stopped[-1]:
            break
    assert stopped == [False, False, False, False, True]
    assert float(state.best) == sign * 2.0
    assert int(state.kept["step"]) == 1
    assert float(state.kept["w"][0]) == 1
    assert bool(state.kept["mask"][0])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: prune.cubic(5, 4), "begin=5, end=4; expected 0 <= begin <= end"),
        (lambda: prune.cubic(0, 4, 0), "frequency=0; expected >= 1"),
        (lambda: prune.cubic(0, 4, final=1.0), "expected 0 <= final < 1"),
        (lambda: prune.one_shot(2), "sparsity=2"),
        (lambda: prune.early_stopping(0), "patience=0; expected >= 1"),
        (lambda: prune.early_stopping(1, -1), "min_delta=-1; expected >= 0"),
        (lambda: prune.early_stopping(1, mode="up"), "mode='up'"),
        (lambda: prune.warmup_cosine(1, 5, warmup=5), "expected 0 <= warmup < steps"),
        (lambda: score.taylor(W, G, "cubed"), "variant='cubed'; expected one of"),
        (
            lambda: score.taylor(W, G, "group_squared", structure=prune.NofM(2, 4)),
            "has no units",
        ),
        (lambda: score.normalize(W, "max"), "by='max'"),
        (lambda: score.magnitude(np.arange(3)), "a leaf is int"),
    ],
)
def test_message(call, text):
    with pytest.raises(errors.UserError, match=text):
        call()


def refused(kind, text, call, *args, **options):
    """The call raises exactly this."""
    with pytest.raises(kind) as caught:
        call(*args, **options)
    assert str(caught.value).splitlines()[0] == text


@pytest.mark.parametrize("name", ["taylor", "movement"])
def test_gradients_are_like_parameters(name):
    """A gradient of another shape is not broadcast, a missing one is named."""
    call = getattr(score, name)
    text = (
        f"prune.score.{name}: a leaf has shape (6, 8), its part of the grads (8,); they"
        " must be equal"
    )
    refused(errors.ShapeError, text, call, W, G[0])
    text = (
        f"prune.score.{name}: grads has None for a leaf of shape (6, 8); put None in"
        " place of the leaf too"
    )
    refused(errors.TreeError, text, call, {"a": W}, {"a": None})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_scores_of_halves_do_not_vanish(dtype):
    """Squares and products of small and large halves keep their order."""
    w = rx.asarray([1e-5, 3e-5, 2e-4, 1.0, 300.0], dtype=dtype)
    g = rx.asarray([1e-5, 1e-5, 1e-5, 1.0, 300.0], dtype=dtype)
    scores = {
        "l2": score.l2(w),
        "lamp": score.lamp(w),
        "taylor": score.taylor(w, g),
        "group": score.taylor(w, g, "group_squared", structure=prune.Slices(0)),
        "movement": score.movement(w, -g),
    }
    for name, found in scores.items():
        host = np.asarray(found)
        assert host.dtype == np.float32, name
        assert (np.diff(host) > 0).all(), name
        assert np.isfinite(host).all(), name


def test_reports_of_masks_of_another_shape():
    text = "prune.report: ['w'] has shape (6, 8), its mask (8,); they must be equal"
    refused(errors.ShapeError, text, prune.report, {"w": W}, {"w": W[0] > 0})


def test_steps_are_whole():
    text = "prune.cubic: frequency=1.5; expected an int >= 0"
    refused(errors.UserError, text, prune.cubic, 0, 10, 1.5)
    text = "prune.one_shot: step=-1; expected an int >= 0"
    refused(errors.UserError, text, prune.one_shot, 0.5, -1)


def test_early_stopping_takes_the_same_each_time():
    stopping = prune.early_stopping(2)
    state = stopping.init({"w": W})
    text = (
        "prune.early_stopping: update was given a leaf of shape (8,), init one of"
        " (6, 8); give both the same"
    )
    refused(errors.ShapeError, text, stopping.update, 1.0, {"w": W[0]}, state)
    text = "prune.early_stopping: the value has shape (3,); expected one number"
    refused(errors.ShapeError, text, stopping.update, np.ones(3), {"w": W}, state)


def test_schedules_of_n_of_m_say_only_when():
    """In a trace too, where the schedule's sparsity is not known."""
    pruner = prune.gradual(prune.cubic(0, 4, 2), structure=prune.NofM(2, 4))
    state = pruner.init(W)
    want = np.where(rx.prune_mask(np.abs(W), structure=prune.NofM(2, 4)), W, 0)
    for update in (pruner.update, rx.jit(pruner.update)):
        params, later = update(W, state)
        np.testing.assert_array_equal(params, want)
        assert int(later.masks.sum()) == W.size // 2
