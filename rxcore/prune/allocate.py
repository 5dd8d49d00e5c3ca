"""How many weights each layer keeps when all keep a given number together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from rxcore.base import errors, tree
from rxcore.prune.leaves import float_leaves, fraction, known, like_beside

__all__ = ["allocate"]

METHODS = ("uniform", "er", "erk", "sensitivity")
Method = Literal["uniform", "er", "erk", "sensitivity"]


def allocate(
    params: Any,
    sparsity: float,
    method: Method = "erk",
    *,
    grads: Any = None,
    power: float = 1.0,
    floor: int = 1,
) -> Any:
    """Return how many weights each leaf keeps.

    **Meaning**, of leaves of `size` elements::

        uniform:      raw = 1
        er:           raw = (n_in + n_out) / (n_in * n_out)       the two channel axes
        erk:          raw = sum(shape) / prod(shape)
        sensitivity:  raw = np.sqrt(np.mean(g**2))                gradient norm
        density = eps * raw**power,    eps so that sum(density * size) = total kept

    A leaf whose density would be above 1 is kept whole, and eps is solved again for the
    others. Counts are whole numbers and add up to round(total * (1 - sparsity))
    exactly: what rounding leaves over goes to the largest remainders.

    Args:
        params: pytree of real floating arrays; None in place of what is not pruned.
        sparsity: the fraction removed of all leaves together, in [0, 1).
        method: which of the four.
        grads: of "sensitivity", dense gradients like `params`; their numbers must be
            known (not inside `jit`).
        power: 1, or an exponent that evens densities out (towards 0) or parts them.
        floor: how many each leaf keeps at least.

    Returns:
        Ints in the structure of `params`.

    Raises:
        UserError: when the sparsity is out of range, the method unknown, or gradients
            are missing.

    Example:
        >>> import rxcore as rx
        >>> params = [rx.numpy.ones((100, 100)), rx.numpy.ones((100, 10))]
        >>> rx.prune.allocate(params, 0.9)
        [710, 390]

    Paper: Evci et al., "Rigging the lottery: making all tickets winners", 2020.
    """
    call = "prune.allocate"
    fraction(sparsity, "sparsity", call)
    if method not in METHODS:
        raise errors.UserError(
            f"{call}: method={method!r}; expected one of {', '.join(METHODS)}"
        )
    leaves, treedef = float_leaves(params, call)
    sizes = [x.size for x in leaves]
    if method == "sensitivity":
        raw = _norms(treedef, leaves, grads, call)
    else:
        raw = [_density(x.shape, method) for x in leaves]
    total = round(sum(sizes) * (1 - sparsity))
    counts = solve(sizes, [r**power for r in raw], total, floor)
    return tree.unflatten(treedef, counts)


def _density(shape: tuple[int, ...], method: str) -> float:
    if method == "uniform" or not math.prod(shape):
        return 1.0
    # Convolutions have their channels first, products have two axes anyway.
    axes = shape[:2] if method == "er" else shape
    return sum(axes) / math.prod(axes)


def _norms(treedef: Any, leaves: Any, grads: Any, call: str) -> list[float]:
    if grads is None:
        raise errors.UserError(
            f"{call}: method='sensitivity' needs grads=, the dense gradients of some"
            " batch"
        )
    norms = []
    for g in like_beside(treedef, leaves, grads, call, "grads"):
        host = known(g)
        if host is None:
            raise errors.TraceError(
                f"{call}: the gradients are traced, counts need their numbers; call it"
                " outside rx.jit"
            )
        wide = np.asarray(host, np.float64)
        norm = float(np.sqrt(np.mean(wide * wide))) if wide.size else 0.0
        if not math.isfinite(norm):
            raise errors.UserError(f"{call}: gradients are not finite (norm {norm})")
        norms.append(norm)
    # A leaf without gradient counts a little, so that densities can be solved.
    return [n or 1e-12 for n in norms]


def solve(
    sizes: Sequence[int], raw: Sequence[float], total: int, floor: int
) -> list[int]:
    """Return counts in proportion to size * raw that add up; none above its size."""
    least = [min(floor, n) for n in sizes]
    total = min(max(total, sum(least)), sum(sizes))
    fixed: dict[int, int] = {}
    while True:
        free = [k for k in range(len(sizes)) if k not in fixed]
        left = total - sum(fixed.values())
        weight = sum(sizes[k] * raw[k] for k in free)
        eps = left / weight if weight else 0.0
        full = [k for k in free if eps * raw[k] > 1]
        few = [k for k in free if eps * raw[k] * sizes[k] < least[k]]
        if full:
            fixed |= {k: sizes[k] for k in full}
        elif few:
            fixed |= {k: least[k] for k in few}
        else:
            break
    shares = {k: eps * raw[k] * sizes[k] for k in free}
    counts = {k: math.floor(s) for k, s in shares.items()}
    over = left - sum(counts.values())
    # Python's sort is stable: of equal remainders the earlier leaf comes first.
    order = sorted(free, key=lambda k: counts[k] - shares[k])
    for k in [k for k in order if counts[k] < sizes[k]][:over]:
        counts[k] += 1
    counts |= fixed
    return [counts[k] for k in range(len(sizes))]
