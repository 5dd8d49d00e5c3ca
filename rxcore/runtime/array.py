"""Immutable, dense, row-major arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

import numpy as np

from rxcore.base import config, dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.operators import Numeric
from rxcore.ir.primitive import REGISTRY
from rxcore.ir.types import Type
from rxcore.runtime.devices import lacking, recalled
from rxcore_kernels import memory
from rxcore_kernels.opencl_fault import DeviceFault

__all__ = ["Array", "as_value", "asarray", "beside", "from_host", "on_devices"]

# Not empty once there was an Array on a device: eager ops then ask where operands are.
on_devices: list[Any] = []


@final
class Array(Numeric):
    """An immutable array.

    It holds a buffer (a capsule with an address), or a read-only ndarray, or both:
    each is made from the other on first use. `buffer` is unset until then, so that
    the path of a warm call reads it without asking.

    An Array on a device has its device in `_home` and never a `buffer`. `_replicas`
    holds what devices have of it: it never changes, so every copy stays true. `_free`
    says where it may go in eager ops: see `rxcore.trace.bind`.
    """

    __slots__ = (
        "__weakref__",
        "_free",
        "_home",
        "_host",
        "_number",
        "_replicas",
        "buffer",
        "type",
    )

    type: Type
    buffer: Any
    _free: Any
    _home: Any
    _host: Any
    _number: Any
    _replicas: dict[Any, Any]

    def __init__(self, type: Type, buffer: Any) -> None:
        self.type = type
        self.buffer = buffer

    @classmethod
    def of_host(cls, type: Type, host: Any) -> Array:
        """Wrap a read-only, contiguous ndarray of the Type's dtype and shape."""
        made = cls.__new__(cls)
        made.type = type
        made._host = host
        return made

    @classmethod
    def on_device(cls, type: Type, device: Any, buffer: Any) -> Array:
        """Wrap a buffer of a device (see `rxcore.runtime.devices`)."""
        made = cls.__new__(cls)
        made.type = type
        made._home = device
        made._replicas = {device: buffer}
        if not on_devices:
            on_devices.append(True)
        return made

    @classmethod
    def scalar(cls, number: Any, type: Type) -> Array:
        """Return an Array of rank 0 that holds a number: a literal of Graphs."""
        with np.errstate(all="ignore"):  # 1e300 beside a float64 passes here too
            host = np.asarray(number).astype(type.dtype)
        host.flags.writeable = False
        made = cls.of_host(type, host)
        made._number = host.item()
        return made

    @property
    def host(self) -> Any:
        """The elements as a read-only ndarray, without a copy."""
        try:
            return self._host
        except AttributeError:
            pass
        if hasattr(self, "_home"):
            self._host = self._downloaded()
        else:
            view = memory.view(self._buffer(), self.type.dtype, self.type.shape)
            self._host = view
        return self._host

    def _downloaded(self) -> Any:
        """Fetch the elements from the device."""
        device = self._home
        buffer = self._on(device)
        if buffer is None:
            self._buffer()
        host = np.empty(self.type.shape, self.type.dtype)
        try:
            try:
                device.download(buffer, host)
            except DeviceFault as fault:
                if fault.kind == "lost":
                    raise
                device.drop_replicas()  # memory may have been short
                device.download(buffer, host)
        except DeviceFault as fault:
            raise errors.DeviceError(
                f"an array of type {self.type} cannot be fetched from {self.device!r}:"
                f" {fault}; its elements are only there: make it again, or keep a copy"
                " on the CPU with rx.device_put(x, 'cpu')"
            ) from fault
        host.flags.writeable = False
        return host

    def _on(self, device: Any) -> Any:
        """Return the buffer on a device, None where it has none."""
        try:
            return self._replicas.get(device)
        except AttributeError:
            return None

    @property
    def on_host(self) -> bool:
        """Whether the elements are in the host's memory, if elsewhere too."""
        return not hasattr(self, "_home") or hasattr(self, "_host")

    def is_on(self, device: Any) -> bool:
        """Whether a device has the elements."""
        return self._on(device) is not None

    def replica(self, device: Any) -> Any:
        """Return a device's buffer with the elements, sent there if need be.

        It is kept, for the next call, unless the memory is a caller's who may change
        it.
        """
        found = self._on(device)
        if found is not None:
            return found
        host = self.host
        kept = host.flags.c_contiguous and not self.is_borrowed
        # The device reads later: what a caller may change meanwhile is copied.
        made = device.upload(host if kept else host.copy())
        if not self.is_borrowed:
            if not hasattr(self, "_replicas"):
                self._replicas = {}
            self._replicas[device] = made
            device.note(self)
        return made

    def drop_replica(self, device: Any) -> None:
        """Free a device's copy where there is another one."""
        if getattr(self, "_home", None) is device and not hasattr(self, "_host"):
            return
        if hasattr(self, "_replicas"):
            self._replicas.pop(device, None)

    def _buffer(self) -> Any:
        try:
            return self.buffer
        except AttributeError:
            raise errors.UserError(
                f"this array of type {self.type} was donated to a jitted call and no"
                " longer exists; copy it before the call, or do not donate it"
            ) from None

    def ensure_buffer(self) -> Any:
        """Return the buffer, made from the host's array if need be."""
        try:
            return self.buffer
        except AttributeError:
            pass
        if hasattr(self, "_home"):
            # Not kept as `buffer`: warm calls on the CPU know their arguments by it.
            host = self.host
            return memory.borrow(host.__array_interface__["data"][0], host)
        try:
            host = self._host
        except AttributeError:
            return self._buffer()
        self.buffer = memory.borrow(host.__array_interface__["data"][0], host)
        return self.buffer

    def donate(self) -> None:
        """Give the memory away: the Array raises when it is used again."""
        for slot in ("buffer", "_host", "_replicas"):
            if hasattr(self, slot):
                delattr(self, slot)

    @property
    def is_borrowed(self) -> bool:
        """Whether the elements are a caller's ndarray, which may be written to."""
        host = getattr(self, "_host", None)
        return host is not None and _may_change(host)

    @property
    def is_deleted(self) -> bool:
        """Whether the Array was donated."""
        slots = ("buffer", "_host", "_replicas")
        return not any(hasattr(self, slot) for slot in slots)

    def literal(self) -> Any:
        """Return the number that this Array was made of, or None."""
        return getattr(self, "_number", None)

    @property
    def home(self) -> Any:
        """The device that holds the elements, None for the CPU."""
        return getattr(self, "_home", None)

    @property
    def device(self) -> str:
        """Where the elements are: `cpu`, `opencl`, `opencl:1`, ..."""
        home = self.home
        return "cpu" if home is None else str(home)

    def block_until_ready(self) -> Array:
        """Return this Array once its elements are there."""
        if hasattr(self, "_home") and not self.is_deleted:
            self._home.finish()
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        host = self.host
        if dtype is not None and np.dtype(dtype) != host.dtype:
            if copy is False:
                raise ValueError("a conversion needs a copy")
            return host.astype(dtype)
        return host.copy() if copy else host

    def __dlpack__(self, **kwargs: Any) -> Any:
        """Export by DLPack; consumers that cannot hold read-only memory get a copy."""
        host = self.host
        try:
            return host.__dlpack__(**kwargs)
        except (BufferError, TypeError):
            return host.copy().__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self.host)

    def item(self, *args: int) -> Any:
        """Return the element as a Python number.

        Raises:
            ShapeError: when there is more than one element and no index.
        """
        if not args and self.type.size != 1:
            raise errors.ShapeError(
                f"item() needs an array of one element, this one has shape {self.shape}"
            )
        return self.host.item(*args)

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers."""
        return self.host.tolist()

    def _one(self, what: str) -> Any:
        if self.type.size != 1:
            raise errors.ShapeError(
                f"{what} needs an array of one element, this one has shape {self.shape}"
            )
        return self.host.reshape(())[()]

    def __bool__(self) -> bool:
        return bool(self._one("bool()"))

    def __int__(self) -> int:
        return int(self._one("int()"))

    def __float__(self) -> float:
        return float(self._one("float()"))

    def __complex__(self) -> complex:
        return complex(self._one("complex()"))

    def __index__(self) -> int:
        if self.type.shape or not dtypes.is_integer(self.dtype):
            raise DTypeErrorIndex(self)
        return int(self.host)

    def __len__(self) -> int:
        if not self.type.shape:
            raise TypeError("len() of an array of rank 0")
        return self.type.shape[0]

    def __iter__(self) -> Iterator[Array]:
        if not self.type.shape:
            raise TypeError("iteration over an array of rank 0")
        inner = Type(self.dtype, self.type.shape[1:])
        host = self.host
        for i in range(self.type.shape[0]):
            yield beside(from_host(host[i], inner), self)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(
            "rxcore arrays are immutable: write x = x.at[index].set(value) instead of"
            " x[index] = value"
        )

    def __format__(self, spec: str) -> str:
        if spec and not self.type.shape:
            return format(self.host[()], spec)
        return format(str(self), spec)

    def __repr__(self) -> str:
        if self.is_deleted:
            return f"Array(donated, {self.type})"
        body = np.array2string(self.host, separator=", ", prefix="Array(")
        return f"Array({body}, dtype={self.dtype.name})"

    def __str__(self) -> str:
        return str(self.host) if not self.is_deleted else repr(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_unpickle, (self.host.copy(), self.type.weak))

    def __copy__(self) -> Array:
        return self

    def __deepcopy__(self, memo: Any) -> Array:
        made: Array = beside(from_host(self.host.copy(), self.type), self)
        return made

    def strong(self) -> Array:
        """Return an Array of the same memory that is not weak."""
        made = Array.__new__(Array)
        made.type = self.type.strong()
        for slot in ("buffer", "_free", "_home", "_host", "_replicas"):
            if hasattr(self, slot):
                setattr(made, slot, getattr(self, slot))
        return made


def _may_change(host: Any) -> bool:
    """Say whether anyone can write to an ndarray's memory."""
    while isinstance(host, np.ndarray):
        if host.flags.writeable:
            return True
        host = host.base
    return False


def DTypeErrorIndex(x: Array) -> TypeError:  # noqa: N802 - builds that error
    """Build the error for an index that is no integer of rank 0."""
    return TypeError(f"only an integer array of rank 0 is an index, not {x.type}")


def _unpickle(host: Any, weak: bool) -> Array:
    return from_host(host, Type(host.dtype, host.shape, weak))


def beside(made: Any, like: Any) -> Any:
    """Return an Array where another one is; it goes there when it is used.

    For what the host computed of a device's elements. Where a traced array will be is
    not known: what is made like one may move, as what is made like such an Array may.
    """
    if not isinstance(made, Array):
        return made
    known = isinstance(like, Array)
    home = like.home if known else None
    if home is not None and made.home is not home:
        made = Array.of_host(made.type, made.host)
        made._home, made._replicas = home, {}
    if not known or hasattr(like, "_free"):
        made._free = like._free if known else True
    return made


def from_host(result: Any, type: Type) -> Array:
    """Wrap what NumPy computed; the ndarray becomes read-only and ours."""
    host = np.asarray(result, type.dtype)
    if not host.flags.c_contiguous:
        host = host.copy(order="C")
    if host.flags.writeable:
        host.flags.writeable = False
    return Array.of_host(type, host)


def _weak(number: Any) -> DType:
    if isinstance(number, bool):
        return dtypes.bool_
    if isinstance(number, int):
        if -(2**31) <= number < 2**31:
            return dtypes.default_int()
        return dtypes.int64 if number < 2**63 else dtypes.uint64
    return (
        dtypes.default_float()
        if isinstance(number, float)
        else dtypes.result_complex(dtypes.default_float())
    )


_SCALARS = (bool, int, float, complex)


def as_value(x: Any) -> Array:
    """Return an Array of a number (weak), or a copy of anything NumPy understands."""
    if isinstance(x, Array):
        return x
    if isinstance(x, _SCALARS) and not isinstance(x, np.generic):
        dtype = _weak(x)
        if isinstance(x, int) and not -(2**63) <= x < 2**64:
            raise errors.DTypeError(
                f"the Python integer {x} does not fit 64 bits; use a float"
            )
        return Array.scalar(x, Type(dtype, (), weak=not isinstance(x, bool)))
    return asarray(x)


def asarray(x: Any, dtype: Any = None) -> Array:
    """Make an immutable Array.

    **Meaning**: `np.array(x, dtype)`, with Python numbers in the default dtypes
    (float32, int32) instead of NumPy's 64-bit ones.

    Args:
        x: an Array, ndarray, number, or nested lists of numbers or arrays.
        dtype: what the elements become; default: as they are.

    Returns:
        An Array; a writable ndarray is copied, so later changes to it do not show.

    Raises:
        DTypeError: when the elements are of a dtype that rxcore does not compute with.

    Example:
        >>> asarray([1.0, 2.0])
        Array([1., 2.], dtype=float32)
    """
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if isinstance(x, Array):
        if wanted is None or wanted == x.dtype:
            return x.strong() if x.type.weak else x
        if x.home is None:
            return from_host(x.host.astype(wanted), Type(wanted, x.shape))
    if isinstance(x, Numeric):
        convert = REGISTRY["convert"]
        return x if wanted is None else convert.bind(x, dtype=wanted)  # type: ignore[return-value]
    try:
        host = np.asarray(x)
        if not isinstance(x, (list, tuple, *_SCALARS)):
            host = _copied(host)  # others may keep the memory, and write to it
    except ValueError as error:
        raise errors.ShapeError(
            f"asarray: the nested lists are ragged: {error}"
        ) from error
    if host.dtype == object and _has_arrays(x):
        host = np.array(_to_host(x))
    if host.dtype.kind in "USOmMV" and host.dtype not in dtypes.ALL:
        names = ", ".join(d.name for d in dtypes.ALL)
        raise errors.DTypeError(
            f"asarray: expected numbers, got {_shown(x)}, which NumPy reads as dtype"
            f" {host.dtype}; the dtypes are {names}"
        )
    python = not hasattr(x, "dtype") and not _holds_numpy(x)
    if wanted is None and python:
        wanted = _default_for(host)
    found = dtypes.as_dtype(wanted if wanted is not None else host.dtype)
    host = host.astype(found, order="C", copy=False)
    made = from_host(host, Type(found, host.shape))
    part = _part_on_device(x) if on_devices else None
    moved: Array = _at_default(made) if part is None else beside(made, part)
    return moved


# NumPy aligns memory to 16 bytes; a vector of 64 then lies on two cache lines, and
# kernels that load little else took 1.5 times as long.
_LINE, _SMALL = 64, 4096


def _copied(host: Any) -> Any:
    """Return a copy; one of many bytes begins on a cache line."""
    if host.nbytes < _SMALL or host.dtype.hasobject:
        return np.array(host)
    raw = np.empty(host.nbytes + _LINE, np.uint8)
    skip = -raw.ctypes.data % _LINE
    made = raw[skip : skip + host.nbytes].view(host.dtype).reshape(host.shape)
    made[...] = host
    return made


def _at_default(made: Array) -> Array:
    """Return a new Array on the default device, if there is one that can hold it."""
    name = config.current().default_device
    target = None if name is None else recalled(name)
    if target is None or target.fault or lacking([made.type], target.facts):
        return made
    try:
        buffer = made.replica(target)
    except DeviceFault:
        # Ops go to the default device all the same, and say so if they cannot.
        return made
    return Array.on_device(made.type, target, buffer)


def _shown(x: Any) -> str:
    text = repr(x)
    short = text if len(text) <= 60 else text[:57] + "..."
    return f"{type(x).__name__} {short}"


def _default_for(host: Any) -> DType | None:
    if host.dtype.kind == "f":
        return dtypes.default_float()
    if host.dtype.kind == "c":
        return dtypes.result_complex(dtypes.default_float())
    if host.dtype.kind in "iu":
        wide = dtypes.default_int()
        limits = np.iinfo(wide)
        fits = not host.size or (limits.min <= host.min() and host.max() <= limits.max)
        return wide if fits else dtypes.as_dtype(host.dtype)
    return None


def _first_leaf(x: Any) -> Any:
    while isinstance(x, list | tuple) and x:
        x = x[0]
    return x


def _holds_numpy(x: Any) -> bool:
    return hasattr(_first_leaf(x), "dtype")


def _has_arrays(x: Any) -> bool:
    return isinstance(_first_leaf(x), Numeric)


def _part_on_device(x: Any) -> Array | None:
    """Return an Array of nested lists that lies on a device, if there is one."""
    if isinstance(x, list | tuple):
        parts = map(_part_on_device, x)
        return next((p for p in parts if p is not None), None)
    return x if isinstance(x, Array) and x.home is not None else None


def _to_host(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return [_to_host(i) for i in x]
    return np.asarray(x)
