"""Laws that every op and every program obeys, and strategies that draw programs.

Checks raise `AssertionError` with what was found and what was expected. Strategies
are Hypothesis's (the `test` extra installs it): `dtypes`, `shapes`, `arrays`,
`pytrees`, and `programs`, random pure functions that any transform can be tried on.

Example:
    >>> from hypothesis import given, settings
    >>> from rxcore.testing import assert_same, programs
    >>> @settings(max_examples=2, deadline=None)
    ... @given(programs(max_steps=2))
    ... def law(program):
    ...     assert_same(program, *program.arguments())
    >>> law()
"""

from rxcore.testing.checks import (
    assert_same,
    check_devices,
    check_grads,
    check_vmap,
)
from rxcore.testing.laws import (
    assert_close,
    check_batch,
    check_halves,
    check_jvp,
    check_lowering,
    check_no_derivative,
    check_reference,
    check_second_order,
    check_transpose,
    check_types,
    ulps_between,
)
from rxcore.testing.lowering import interprets, run_compiled, run_lowering
from rxcore.testing.programs import Program, Step, programs
from rxcore.testing.strategies import arrays, dtypes, pytrees, shapes

__all__ = [
    "Program",
    "Step",
    "arrays",
    "assert_close",
    "assert_same",
    "check_batch",
    "check_devices",
    "check_grads",
    "check_halves",
    "check_jvp",
    "check_lowering",
    "check_no_derivative",
    "check_reference",
    "check_second_order",
    "check_transpose",
    "check_types",
    "check_vmap",
    "dtypes",
    "interprets",
    "programs",
    "pytrees",
    "run_compiled",
    "run_lowering",
    "shapes",
    "ulps_between",
]
