"""What cancels in a sum is NaN all the same where it is not finite."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import numpy as rnp

CANCELS: dict[str, Callable[[Any], Any]] = {
    "difference": lambda x: (x - x).sum(),
    "columns": lambda x: (x - x).sum(0)[:, None],
    "rows": lambda x: rnp.sum(x - x, axis=1, keepdims=True),
    "negative": lambda x: (x + (-x)).sum(),
    "mean": lambda x: rnp.mean(2 * x - x - x),
    "quotient": lambda x: rnp.prod(x / x),
}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(CANCELS))
def test_what_is_not_finite_stays(name: str, dtype: Any, value: float) -> None:
    x = np.ones((3, 40), dtype)
    x[1, 17] = value
    call = rx.jit(CANCELS[name])
    assert np.isnan(np.asarray(call(x))).any()
    assert np.isfinite(np.asarray(call(np.ones_like(x)))).all()
