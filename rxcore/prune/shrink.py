"""Remove for good what masks have emptied: rows, columns, channels, heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import define

from rxcore import numpy as rnp
from rxcore.base import errors, tree
from rxcore.prune.leaves import beside, known, paths
from rxcore.prune.shrink_attention import PARTS, shrink_attention
from rxcore.transforms.arguments import numeric_leaves

__all__ = ["shrink"]

Array = np.ndarray[Any, np.dtype[Any]]
Activation = Callable[[Any], Any]
CALL = "prune.shrink"


def shrink(
    params: Any,
    masks: Any = None,
    *,
    activation: Activation | Sequence[Activation] | None = None,
    padding: str = "SAME",
    heads: int | None = None,
    kv_heads: int | None = None,
) -> Any:
    """Return smaller parameters of the same function as the masked ones.

    **Meaning**, of a stack of layers, for a unit j between layers a and b::

        no input left:   c = activation(a["bias"][j])      the same for all inputs
                         b["bias"] += c @ b["weight"][j]
        no output left:  nothing
        then a["weight"][:, j], a["bias"][j] and b["weight"][j] are deleted

    until nothing more is found. Every layer keeps one unit at least. A unit whose
    constant cannot be folded exactly stays: the activation is not known; the next layer
    has no bias; or a convolution pads with zeros and the constant is not 0.

    Args:
        params: a list or tuple of layers, each a dict of "weight" and perhaps "bias":
            products (in, out), convolutions (out, in, *window), convolutions first and
            then products of what they give, flattened (channels first); items without
            arrays stay as they are. Or an attention, a dict of "query", "key", "value"
            (d, heads * length) and "output" (heads * length, d), each a dict like
            that: heads are removed whose values or outputs are emptied (attention
            weights add up to 1, so what is left of values is their bias).
        masks: bool arrays like `params`, True is kept; None in place of an array of
            which all is kept. Without masks, zeros are what was removed.
        activation: what stands between layers, elementwise, or one for each gap; None:
            unknown. Pooling without padding may follow it.
        padding: "SAME" or "VALID", how convolutions pad.
        heads: of an attention, how many heads its queries have.
        kv_heads: how many its keys and values have, where queries share them; then
            groups are removed as wholes.

    Returns:
        Parameters in the same structure. `apply` functions that know the old shapes
        (as those of `rx.nn.dense` do) are to be made anew for the new ones.

    Raises:
        TreeError: when the structure is neither of the two, or masks differ from it.
        ShapeError: when shapes of neighbours do not fit.
        TraceError: inside `jit`: shapes cannot depend on numbers.

    Example:
        >>> import rxcore as rx
        >>> a = {"weight": rx.asarray([[1.0, 0.0]]), "bias": rx.asarray([0.0, 2.0])}
        >>> b = {"weight": rx.asarray([[3.0], [4.0]]), "bias": rx.asarray([1.0])}
        >>> small = rx.prune.shrink([a, b], activation=rx.nn.relu)
        >>> small[0]["weight"].shape, small[1]["bias"]
        ((1, 1), Array([9.], dtype=float32))

    Paper: Fang et al., "DepGraph: towards any structural pruning", 2023.
    """
    if padding not in ("SAME", "VALID"):
        raise errors.UserError(
            f"{CALL}: padding={padding!r}; expected 'SAME' or 'VALID'"
        )
    masked, kept = _masked(params, masks)
    if isinstance(params, dict) and set(PARTS) <= set(params):
        made = shrink_attention(masked, kept, heads, kv_heads)
    elif isinstance(params, list | tuple):
        made = _shrink_stack(masked, kept, activation, padding)
    else:
        raise errors.TreeError(
            f"{CALL}: params is a {type(params).__name__}; expected a list or tuple of"
            f" layers (dicts of 'weight' and 'bias'), or a dict of {', '.join(PARTS)}"
        )
    return tree.map_(rnp.asarray, made)


def _masked(params: Any, masks: Any) -> tuple[Any, Any]:
    """Return parameters as ndarrays with zeros for what is removed, and masks."""
    leaves, treedef = numeric_leaves(params, CALL)
    given = [None] * len(leaves)
    if masks is not None:
        given = beside(treedef, masks, CALL, "masks")
    hosts, kept = [], []
    for name, x, m in zip(paths(params), leaves, given, strict=True):
        host, mask = known(x), None if m is None else known(m)
        if host is None or (m is not None and mask is None):
            raise errors.TraceError(
                f"{CALL}: {name} is traced; shapes cannot depend on numbers: call it"
                " outside rx.jit"
            )
        if m is None:
            mask = np.asarray(host != 0) if masks is None else np.ones(x.shape, bool)
        elif m.shape != x.shape:
            raise errors.ShapeError(
                f"{CALL}: {name} has shape {x.shape}, its mask {m.shape}; they must be"
                " equal"
            )
        mask = np.asarray(mask, bool)
        hosts.append(np.where(mask, host, np.zeros((), host.dtype)))
        kept.append(mask)
    return tree.unflatten(treedef, hosts), tree.unflatten(treedef, kept)


@define
class _Layer:
    """One layer of a stack while units are removed."""

    weight: Array
    mask: Array
    bias: Array | None

    @property
    def wide(self) -> bool:
        """Whether it is a convolution."""
        return self.weight.ndim > 2

    @property
    def out_axis(self) -> int:
        """The axis of its outputs."""
        return 0 if self.wide else 1

    @property
    def units(self) -> int:
        """How many outputs it has."""
        return int(self.weight.shape[self.out_axis])

    def fed(self) -> Array:
        """Say which outputs depend on an input."""
        other = tuple(set(range(self.mask.ndim)) - {self.out_axis})
        return np.asarray(self.mask.any(axis=other))

    def by_input(self, part: Array, units: int) -> Array:
        """Return `part` with the inputs that belong to one unit in axes 0 and 1."""
        if self.wide:
            return np.moveaxis(part, 1, 0)[:, None]
        return part.reshape(units, -1, part.shape[1])

    def drop_outputs(self, stay: Array) -> None:
        """Keep some outputs."""
        self.weight = np.compress(stay, self.weight, axis=self.out_axis)
        self.mask = np.compress(stay, self.mask, axis=self.out_axis)
        if self.bias is not None:
            self.bias = self.bias[stay]

    def drop_inputs(self, stay: Array) -> None:
        """Keep the inputs of some units."""
        axis = 1 - self.out_axis
        every = np.repeat(stay, self.weight.shape[axis] // stay.size)
        self.weight = np.compress(every, self.weight, axis=axis)
        self.mask = np.compress(every, self.mask, axis=axis)


def _shrink_stack(
    params: Any, masks: Any, activation: Any, padding: str
) -> list[Any] | tuple[Any, ...]:
    places = [k for k, item in enumerate(params) if tree.leaves(item)]
    layers = [_layer(params[k], masks[k], k) for k in places]
    acts = _activations(activation, len(layers) - 1)
    for a, b, k in zip(layers, layers[1:], places[1:], strict=False):
        inputs = b.weight.shape[1 - b.out_axis]
        fits = inputs == a.units or (a.wide and not b.wide and inputs % a.units == 0)
        if not fits or (b.wide and not a.wide):
            raise errors.ShapeError(
                f"{CALL}: layer {k} has weights of shape {b.weight.shape}, which do"
                f" not take the {a.units} outputs of the layer before it"
            )
    found = True
    while found:
        found = False
        for a, b, act in zip(layers, layers[1:], acts, strict=False):
            found |= _remove_between(a, b, act, padding)
    made = list(params)
    for k, layer in zip(places, layers, strict=True):
        made[k] = {**params[k], "weight": layer.weight}
        if layer.bias is not None:
            made[k]["bias"] = layer.bias
    return tuple(made) if isinstance(params, tuple) else made


def _layer(item: Any, mask: Any, place: int) -> _Layer:
    names = set(item) if isinstance(item, dict) else set()
    if "weight" not in names or names - {"weight", "bias"}:
        raise errors.TreeError(
            f"{CALL}: layer {place} is {type(item).__name__} {sorted(names) or ''};"
            " expected a dict of 'weight' and perhaps 'bias'"
        )
    if item["weight"].ndim < 2:
        raise errors.ShapeError(
            f"{CALL}: the weight of layer {place} has shape {item['weight'].shape};"
            " expected (in, out) or (out, in, *window)"
        )
    bias = item.get("bias")
    return _Layer(item["weight"], mask["weight"], None if bias is None else bias.copy())


def _activations(given: Any, count: int) -> list[Activation | None]:
    if given is None or callable(given):
        return [given] * count
    found = [] if isinstance(given, str) else list(given)
    if isinstance(given, str) or any(a is not None and not callable(a) for a in found):
        raise errors.UserError(
            f"{CALL}: activation={given!r}; expected a function of arrays, such as"
            " rx.nn.relu, or one for each gap"
        )
    if len(found) != count:
        raise errors.UserError(
            f"{CALL}: {len(found)} activations for {count} gaps between layers; give"
            " one for each, or one for all"
        )
    return found


def _remove_between(
    a: _Layer, b: _Layer, activation: Activation | None, padding: str
) -> bool:
    """Remove units between two layers; say whether there were any."""
    units = a.units
    fed, used = a.fed(), b.by_input(b.mask, units)
    heard = used.any(axis=tuple(range(1, used.ndim)))
    gone: Array = np.asarray(~heard)
    constant = _constants(a, activation)
    if constant is not None:
        able = heard & ~fed
        if b.bias is None or (b.wide and padding == "SAME"):
            # Only a constant of 0 adds nothing, at the borders too.
            able &= constant == 0
        if able.all():
            # One unit must stay, with its constant.
            able[0] = False
        _fold(b, b.by_input(b.weight, units)[able], constant[able])
        gone |= able
    if gone.all():
        # One must stay: one that nobody hears, which is not folded.
        gone[np.argmin(heard)] = False
    if not gone.any():
        return False
    a.drop_outputs(~gone)
    b.drop_inputs(~gone)
    return True


def _constants(a: _Layer, activation: Activation | None) -> Array | None:
    """Return what units without inputs give, where it is known."""
    bias = np.zeros(a.units, a.weight.dtype) if a.bias is None else a.bias
    if activation is None:
        return None
    return np.asarray(activation(rnp.asarray(bias)), np.float64)


def _fold(b: _Layer, weights: Array, constant: Array) -> None:
    """Add the constants of units to the bias behind them."""
    if b.bias is not None and constant.size:
        # Axes: unit, its inputs, outputs, window (of a product: none).
        wide = weights.astype(np.float64)
        whole = wide.sum(axis=(1, *range(3, wide.ndim)))
        b.bias = (b.bias + constant @ whole).astype(b.bias.dtype)
