"""Values through which no derivative flows."""

from __future__ import annotations

from typing import Any

import numpy as np

from rxcore.base import dtypes, tree
from rxcore.ir.primitive import Primitive
from rxcore.ops.families import elementwise
from rxcore.trace.bind import as_numeric

__all__ = ["stop_gradient"]

_stop_gradient: Primitive = elementwise(
    "stop_gradient",
    lambda x: x,
    reference=np.copy,
    types=dtypes.ALL,
    partials=(None,),
    halves=True,
    tolerance=0,
    simplify=lambda e, made_by: e.inputs[0],
    document="Return x; its derivative counts as zero.",
)
_stop_gradient.slots["stops"] = True


def stop_gradient(x: Any) -> Any:
    """Return `x`, an array or a pytree of arrays; its derivative counts as zero.

    **Meaning**: `x`

    Example:
        >>> import rxcore as rx
        >>> rx.stop_gradient(rx.asarray([1.0]))
        Array([1.], dtype=float32)
    """
    return tree.map_(
        lambda leaf: _stop_gradient.bind(as_numeric(leaf, "stop_gradient")), x
    )
