"""The choice of a format: the cheapest one, for a reason that is told."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxcore as rx
import rxcore.numpy as rnp
from rxcore import sparse
from rxcore.sparse import BSR, CSR


def scattered(density: float, side: int = 1024) -> Any:
    rng = np.random.default_rng(0)
    return (rng.random((side, side)) < density).astype(np.float32)


def in_blocks(density: float, block: int = 32, count: int = 32) -> Any:
    rng = np.random.default_rng(0)
    kept = rng.random((count, count)) < density
    return np.kron(kept, np.ones((block, block))).astype(np.float32)


def test_each_format_has_its_matrices() -> None:
    many = 1_000_000
    assert sparse.plan(CSR.from_dense(scattered(0.02)), calls=many).choice == "CSR"
    assert sparse.plan(CSR.from_dense(scattered(0.9)), calls=many).choice == "dense"
    chosen = sparse.plan(CSR.from_dense(in_blocks(0.1)), calls=many, width=64)
    assert chosen.choice in ("BSR 16", "BSR 32")
    # Once is not worth a conversion.
    assert (
        sparse.plan(CSR.from_dense(in_blocks(0.1)), calls=1, width=64).choice == "CSR"
    )
    assert sparse.plan(rnp.asarray(scattered(0.02)), calls=1).choice == "dense"
    assert sparse.plan(rnp.asarray(scattered(0.02)), calls=many).choice == "CSR"


@settings(max_examples=20, deadline=None)
@given(
    density=st.floats(0, 1),
    calls=st.sampled_from([1, 10, 1000, 10**6]),
    width=st.sampled_from([1, 16, 64]),
    blocked=st.booleans(),
)
def test_the_choice_is_the_cheapest(
    density: float, calls: int, width: int, blocked: bool
) -> None:
    full = in_blocks(density, 16, 16) if blocked else scattered(density, 256)
    for a in (CSR.from_dense(full), rnp.asarray(full), BSR.from_dense(full, 16)):
        found = sparse.plan(a, calls, width=width)
        by_name = {e.name: e for e in found.estimates}
        least = min(e.total for e in found.estimates)
        assert by_name[found.choice].total <= 1.1 * least
        for e in found.estimates:
            assert e.total == e.convert / calls + e.call
        made = found.apply()
        dense = made if found.choice == "dense" else made.to_dense()
        np.testing.assert_array_equal(np.asarray(dense), full)
        if isinstance(a, BSR):
            continue  # in rows, the zeros in its blocks would be stored
        sizes = {"dense": full.nbytes, "CSR": CSR.from_dense(full).nbytes}
        sizes["BSR 32"] = BSR.from_dense(full, 32).nbytes
        for name, size in sizes.items():
            assert by_name[name].nbytes == size


def test_more_calls_never_speak_for_staying() -> None:
    a = CSR.from_dense(in_blocks(0.2))
    choices = [sparse.plan(a, 10**k, width=64).choice != "CSR" for k in range(8)]
    assert choices == sorted(choices)
    pays = {e.name: e.break_even for e in sparse.plan(a, 10, width=64).estimates}
    assert pays["CSR"] == 0
    assert pays["BSR 32"] is not None
    assert pays["BSR 32"] > 1


def test_it_prints_why() -> None:
    text = str(sparse.plan(CSR.from_dense(scattered(0.02)), calls=1000))
    assert text.splitlines()[0].split() == [
        *("format", "convert", "product", "with", "share", "bytes", "pays", "after"),
    ]
    assert text.splitlines()[-1].startswith(
        "CSR: 0.02 of the cells are stored; it stays"
    )


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: sparse.plan(rnp.ones((2, 2)), 0),
            "plan: calls and width must be whole numbers, at least 1, got calls=0 and"
            " width=1",
        ),
        (
            lambda: sparse.plan(rnp.ones((2, 2)), float("nan")),  # type: ignore[arg-type]
            "plan: calls and width must be whole numbers, at least 1, got calls=nan and"
            " width=1",
        ),
        (lambda: sparse.plan(rnp.ones(2)), "plan: expected a matrix, got shape (2,)"),
        (
            lambda: rx.jit(lambda x: sparse.plan(x).choice)(rnp.ones((2, 2))),
            "plan: the matrix is traced; plan outside of jit, on concrete arrays",
        ),
    ],
)
def test_message(call: Any, text: str) -> None:
    with pytest.raises(rx.UserError) as caught:
        call()
    assert str(caught.value).splitlines()[0] == text
