"""Parts of complex numbers: conj, real, imag, and complex from parts.

Derivatives follow JAX's convention: a transpose does not conjugate, so the gradient
of a real function of z = x + iy is df/dx - i df/dy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import Opaque, Primitive
from rxcore.ops.elementwise import neg
from rxcore.ops.families import Linear, elementwise, unbroadcast, zeros
from rxcore.runtime.array import beside
from rxcore.trace.bind import as_numeric

__all__ = ["complex_", "conj", "imag", "real"]

_HOST = Opaque("complex numbers are computed by NumPy on the host")


def _part(name: str, reference: Any, **slots: Any) -> Primitive:
    made = elementwise(
        name, lambda *terms: terms[0], reference=reference, tolerance=0, **slots
    )
    made.lower = _HOST
    return made


_conj: Primitive = _part(
    "conj",
    np.conj,
    types=dtypes.COMPLEX,
    partials=(lambda t, out, x: _conj.bind(t),),
    transpose=lambda ct, x: [_conj.bind(ct)],
    document="Flip the sign of the imaginary part.",
)
_real: Primitive = _part(
    "real",
    lambda x: x.real.copy(),
    types=dtypes.COMPLEX,
    result=dtypes.real_part,
    partials=(lambda t, out, x: _real.bind(t),),
    transpose=lambda ct, x: [complex_(ct, 0)],
    document="Take the real part.",
)
_imag: Primitive = _part(
    "imag",
    lambda x: x.imag.copy(),
    types=dtypes.COMPLEX,
    result=dtypes.real_part,
    partials=(lambda t, out, x: _imag.bind(t),),
    transpose=lambda ct, x: [complex_(0, neg(ct))],
    document="Take the imaginary part.",
)


def _of_parts(x: DType) -> DType:
    return dtypes.result_complex(x)


def _complex_transpose(ct: Any, x: Any, y: Any) -> Any:
    # <ct, x + iy> has the real part Re(ct) x - Im(ct) y.
    return [
        unbroadcast(real(ct), x.type) if isinstance(x, Linear) else None,
        unbroadcast(neg(imag(ct)), y.type) if isinstance(y, Linear) else None,
    ]


complex_: Primitive = _part(
    "complex",
    lambda x, y: x + y * np.asarray(1j, _of_parts(x.dtype)),
    types=(dtypes.float32, dtypes.float64),
    floating=True,
    result=_of_parts,
    partials=(lambda t, out, x, y: complex_(t, 0), lambda t, out, x, y: complex_(0, t)),
    transpose=_complex_transpose,
    document="Return x + iy from its real and imaginary parts.",
)


def conj(x: Any) -> Any:
    """Flip the sign of the imaginary part; real numbers stay as they are.

    **Meaning**: `np.conj(x)`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.complex_parts import conj
        >>> conj(rx.asarray([1 + 2j]))
        Array([1.-2.j], dtype=complex64)
    """
    x = as_numeric(x, "conj")
    return _conj.bind(x) if dtypes.is_complex(x.dtype) else x


def real(x: Any) -> Any:
    """Take the real part; real numbers stay as they are.

    **Meaning**: `np.real(x)`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.complex_parts import real
        >>> real(rx.asarray([1 + 2j]))
        Array([1.], dtype=float32)
    """
    x = as_numeric(x, "real")
    return _real.bind(x) if dtypes.is_complex(x.dtype) else x


def imag(x: Any) -> Any:
    """Take the imaginary part, 0 of real numbers.

    **Meaning**: `np.imag(x)`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.complex_parts import imag
        >>> imag(rx.asarray([1 + 2j]))
        Array([2.], dtype=float32)
    """
    x = as_numeric(x, "imag")
    if dtypes.is_complex(x.dtype):
        return _imag.bind(x)
    return beside(zeros(x.type.strong()), x)
