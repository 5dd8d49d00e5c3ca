"""`x.at[index]`: functional updates of what an index selects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from attrs import frozen

from rxcore.base import dtypes, errors
from rxcore.ir.operators import Numeric
from rxcore.ir.primitive import REGISTRY
from rxcore.ops import shape as maps
from rxcore.ops.dynamic import dynamic_update_slice
from rxcore.ops.families import broadcast_shapes, number
from rxcore.ops.gather import read_mode
from rxcore.ops.indexing import Selection, read, select, take_box
from rxcore.ops.join import number_of, pad
from rxcore.ops.scatter import scatter
from rxcore.trace.bind import as_numeric
from rxcore.trace.tracer import Tracer

__all__: list[str] = []


@frozen(repr=False)
class At:
    """What `x.at` gives: index it to name the place of an update."""

    array: Any

    def __getitem__(self, key: Any) -> Place:
        return Place(self.array, key)

    def __repr__(self) -> str:
        return f"At({self.array!r})"


@frozen(repr=False)
class Place:
    """A place in an array, with the updates that give a new array.

    **Meaning** of each, on a copy `out` of the array::

        out[index] = values  # set
        np.add.at(out, index, values)  # add; multiply, divide, power, min, max
        out[index]  # get

    The result has the shape and dtype of the array. Several updates to one place follow
    each other in row-major order. Options of each: `mode` says what happens out of
    range: by default, and with "drop" or "fill", such updates are left out, with
    "clip" and "promise_in_bounds" the index is moved into range;
    `unique_indices=True` promises that no place is named twice, which saves work in
    derivatives; `indices_are_sorted` is accepted and changes nothing.

    Example:
        >>> import rxcore as rx
        >>> x = rx.asarray([1, 2, 3])
        >>> x.at[1].set(9)
        Array([1, 9, 3], dtype=int32)
        >>> x.at[rx.asarray([0, 0])].add(5)
        Array([11,  2,  3], dtype=int32)
    """

    array: Any
    key: Any

    def set(self, values: Any, **options: Any) -> Any:
        """Return the array with the values in place of what was there."""
        return _update(self, values, "set", None, **options)

    def add(self, values: Any, **options: Any) -> Any:
        """Return the array with the values added."""
        return _update(self, values, "add", "add", **options)

    def subtract(self, values: Any, **options: Any) -> Any:
        """Return the array with the values subtracted."""
        x = as_numeric(values, "at[].subtract")
        return self.add(REGISTRY["neg"](_fit(x, self.array.dtype)), **options)

    def multiply(self, values: Any, **options: Any) -> Any:
        """Return the array multiplied by the values."""
        return _update(self, values, "mul", "mul", **options)

    mul = multiply

    def min(self, values: Any, **options: Any) -> Any:
        """Return the array with the smaller of old and new values."""
        return _update(self, values, "min", "minimum", **options)

    def max(self, values: Any, **options: Any) -> Any:
        """Return the array with the larger of old and new values."""
        return _update(self, values, "max", "maximum", **options)

    def divide(self, values: Any, **options: Any) -> Any:
        """Return the array divided by the values."""
        return self._by_product(values, "div", options)

    def power(self, values: Any, **options: Any) -> Any:
        """Return the array raised to the power of the values."""
        return self._by_product(values, "pow", options)

    def _by_product(self, values: Any, op: str, options: dict[str, Any]) -> Any:
        """Divide by, or raise to, the product of all values that meet at a place."""
        x = self.array
        wide = values if op == "pow" else as_numeric(values, "at[].divide")
        ones = maps.broadcast(number(1, x.dtype), x.shape, ())
        factors = Place(ones, self.key).multiply(wide, **options)
        return _fit(REGISTRY[op](x, factors), x.dtype)

    def apply(self, function: Callable[[Any], Any], **options: Any) -> Any:
        """Return the array with a function applied to what is there."""
        mode = options.get("mode")
        old = self.get(mode="clip" if mode in (None, "drop", "fill") else mode)
        return self.set(function(old), **options)

    def get(
        self,
        *,
        mode: str | None = None,
        fill_value: Any = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Any:
        """Return what is there; `mode="fill"` gives `fill_value` out of range."""
        del indices_are_sorted, unique_indices
        kind = read_mode(mode, fill_value, "at[].get")
        if kind == "wrap":
            raise errors.UserError(
                "at[].get: mode 'wrap' is not one of 'fill', 'drop', 'clip',"
                " 'promise_in_bounds'; rxcore.numpy.take has it"
            )
        x = self.array
        chosen = select(x.shape, self.key, checked=mode is None)
        return read(x, chosen, kind, fill_value)

    def __repr__(self) -> str:
        return f"Place({self.array!r}, {self.key!r})"


_MODES = {
    None: "drop",
    "drop": "drop",
    "fill": "drop",
    "clip": "clip",
    "promise_in_bounds": "clip",
}


def _update(
    place: Place,
    values: Any,
    combine: str,
    op: str | None,
    *,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
) -> Any:
    del indices_are_sorted
    x = place.array
    call = f"at[].{combine}"
    if mode not in _MODES:
        raise errors.UserError(
            f"{call}: mode {mode!r} is not one of 'drop', 'clip', 'promise_in_bounds'"
        )
    chosen = select(x.shape, place.key, checked=mode is None)
    new = _fit(as_numeric(values, call), x.dtype)
    if broadcast_shapes([new.shape, chosen.shape], call) != chosen.shape:
        raise errors.ShapeError(
            f"{call}: values of shape {new.shape} do not broadcast to shape"
            f" {chosen.shape}, which the index selects of shape {x.shape}"
        )
    if chosen.nothing:
        return x
    new = maps.broadcast_to(new, chosen.shape)
    if chosen.axes:
        new = scatter(
            take_box(x, chosen),
            maps.reshape(new, _without_new(chosen)),
            *chosen.arrays,
            axes=chosen.axes,
            place=chosen.place,
            combine=combine,
            mode=_MODES[mode],
            unique_indices=unique_indices or not chosen.arrays[0].ndim,
        )
    else:
        new = maps.reshape(new, chosen.kept)
        if op is not None:
            new = REGISTRY[op](take_box(x, chosen), new)
    return _put_box(x, new, chosen)


def _fit(x: Any, dtype: dtypes.DType) -> Any:
    """Convert values to the array's dtype; complex ones lose no part in silence."""
    if dtypes.is_complex(x.dtype) and not dtypes.is_complex(dtype):
        raise errors.DTypeError(
            f"at[]: values of dtype {x.dtype.name} do not fit an array of dtype"
            f" {dtype.name}; take their real part"
        )
    return number_of(x, dtype)


def _without_new(chosen: Selection) -> tuple[int, ...]:
    """Return the shape of what is selected, without the axes that None inserted."""
    kept = chosen.kept
    rest = tuple(n for i, n in enumerate(kept) if i not in chosen.axes)
    batch = tuple(chosen.arrays[0].shape)
    return (*rest[: chosen.place], *batch, *rest[chosen.place :])


def _put_box(x: Any, new: Any, chosen: Selection) -> Any:
    """Put a box, without the axes that integers selected, back into its array."""
    new = maps.reshape(new, chosen.box)
    if chosen.reversed:
        new = maps.reverse(new, chosen.reversed)
    if chosen.box == x.shape:
        return new
    if all(s == 1 for s in chosen.step):
        return dynamic_update_slice(x, new, chosen.start)
    widths = []
    parts = (x.shape, chosen.box, chosen.start, chosen.step)
    for n, count, first, step in zip(*parts, strict=True):
        widths.append((first, n - first - (count - 1) * step - 1, step - 1))
    true = maps.broadcast(number(True, dtypes.bool_), chosen.box, ())
    mask = pad(true, False, widths)
    return REGISTRY["select"].bind(mask, pad(new, 0, widths), x)


def _refuse(self: Any, key: Any, value: Any) -> NoReturn:
    del self, key, value
    raise TypeError(
        "rxcore arrays are immutable: write x = x.at[index].set(value) instead of"
        " x[index] = value"
    )


def _at(self: Any) -> At:
    """Return the helper for functional updates: `x.at[index].set(values)`."""
    return At(self)


for _class, _name, _member in (
    (Numeric, "at", property(_at)),
    (Tracer, "__setitem__", _refuse),
):
    setattr(_class, _name, _member)
