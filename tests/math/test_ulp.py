"""No function's error passes the bar, nor the error in the committed table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.math.reference import BAR, CASES, Case
from tests.math.sweep import measure, recorded

_NAMES = [case.name for case in CASES]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("case", CASES, ids=_NAMES)
def test_error_stays_below_the_bar_and_the_table(case: Case, dtype: Any) -> None:
    row = recorded()[case.name]
    single = dtype == np.float32
    bar = case.single_bar if single else BAR
    for fused, error in measure(case, dtype).items():
        assert error.ulps <= bar, f"{case.name}{error.where}: {error.ulps:.2f} ULP"
        # The table has two digits, and references differ a little by platform.
        known = row[(0 if single else 2) + fused]
        assert error.ulps <= known + 0.02, (
            f"{case.name}{error.where}: worse than it was"
        )


def test_table_lists_every_function() -> None:
    assert sorted(recorded()) == sorted(_NAMES)
