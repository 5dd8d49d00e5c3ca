"""Wrong programs: the exact error: what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.base import errors

X3, X4, M = (rx.asarray(np.zeros(s, "f")) for s in ((3,), (4,), (2, 3)))
I3 = rx.asarray(np.arange(3, dtype="i4"))


def identity(x: Any) -> Any:
    return x


def says(_: Any) -> Any:
    return "text"


def pair(a: Any, b: Any) -> Any:
    return a + b


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "add_shapes": (
        lambda: X3 + X4,
        errors.ShapeError,
        "add: shapes (3,), (4,) do not broadcast together; trailing axes must"
        " be equal or 1 (use reshape or expand_dims)",
    ),
    "compiled_add_shapes": (
        lambda: rx.jit(lambda a, b: a + b)(X3, X4),
        errors.ShapeError,
        "add: shapes (3,), (4,) do not broadcast together; trailing axes must"
        " be equal or 1 (use reshape or expand_dims)",
    ),
    "matmul_shapes": (
        lambda: M @ M,
        errors.ShapeError,
        "matmul: shapes (2, 3) and (2, 3) do not fit: the last axis of the"
        " left must be as long as the last but one (or only) axis of the right",
    ),
    "matmul_of_a_number": (
        lambda: M @ rx.asarray(1.0),
        errors.ShapeError,
        "matmul: shapes (2, 3) and () do not fit: the last axis of the left"
        " must be as long as the last but one (or only) axis of the right",
    ),
    "reshape_size": (
        lambda: M.reshape(4),
        errors.ShapeError,
        "reshape: an array of shape (2, 3) has 6 elements, shape (4,) needs 4",
    ),
    "reshape_remainder": (
        lambda: M.reshape(4, -1),
        errors.ShapeError,
        "reshape: shape (2, 3) cannot fill (4, -1): 6 is no multiple of 4",
    ),
    "reshape_two_unknown": (
        lambda: M.reshape(-1, -1),
        errors.ShapeError,
        "reshape: only one size of (-1, -1) may be -1",
    ),
    "concatenate_ranks": (
        lambda: rnp.concatenate([M, X3]),
        errors.ShapeError,
        "concatenate: shapes (2, 3), (3,) must agree on every axis but 0",
    ),
    "concatenate_lengths": (
        lambda: rnp.concatenate([M, M.T]),
        errors.ShapeError,
        "concatenate: shapes (2, 3), (3, 2) must agree on every axis but 0",
    ),
    "concatenate_nothing": (
        lambda: rnp.concatenate([]),
        errors.ShapeError,
        "concatenate: expected at least one array, got none",
    ),
    "broadcast": (
        lambda: rx.broadcast_to(X3, (4,)),
        errors.ShapeError,
        "broadcast_to: shape (3,) does not broadcast to (4,)",
    ),
    "split": (
        lambda: rnp.split(X3, 2),
        errors.ShapeError,
        "split: axis 0 of length 3 has no 2 equal parts; array_split allows"
        " unequal ones",
    ),
    "axis_twice": (
        lambda: M.sum((0, 0)),
        errors.ShapeError,
        "sum: axes (0, 0) name one axis twice",
    ),
    "axis_too_large": (
        lambda: M.sum(2),
        errors.ShapeError,
        "sum: axis 2 is out of range for an array of rank 2; use -2 to 1",
    ),
    "axis_too_small": (
        lambda: M.sum(-3),
        errors.ShapeError,
        "sum: axis -3 is out of range for an array of rank 2; use -2 to 1",
    ),
    "axis_of_a_number": (
        lambda: rx.asarray(1.0).sum(0),
        errors.ShapeError,
        "sum: axis 0 given, but the array has rank 0",
    ),
    "axis_no_int": (
        lambda: M.sum(1.5),
        errors.DTypeError,
        "sum: an axis must be an int, got 1.5 (float)",
    ),
    "transpose_twice": (
        lambda: rx.transpose(M, (0, 0)),
        errors.ShapeError,
        "transpose: axes (0, 0) name one axis twice",
    ),
    "transpose_too_few": (
        lambda: rx.transpose(M, (0,)),
        errors.ShapeError,
        "transpose: axes (0,) do not name every axis of shape (2, 3)",
    ),
    "largest_of_nothing": (
        lambda: rx.asarray(np.zeros(0, "f")).max(),
        errors.ShapeError,
        "max: no element along axes (0,) of shape (0,); give initial=, the"
        " result where there is none",
    ),
    "place_of_nothing": (
        lambda: rx.asarray(np.zeros(0, "f")).argmax(),
        errors.ShapeError,
        "argmax or argmin: axis 0 of shape (0,) is empty and has none",
    ),
    "dtype_of_text": (
        lambda: rx.asarray(["a", "b"]),
        errors.DTypeError,
        "asarray: expected numbers, got list ['a', 'b'], which NumPy reads as"
        " dtype <U1; the dtypes are bool, int8, int16, int32, int64, uint8,"
        " uint16, uint32, uint64, float16, bfloat16, float32, float64,"
        " complex64, complex128",
    ),
    "dtype_of_nothing": (
        lambda: rx.asarray(None),
        errors.DTypeError,
        "asarray: expected numbers, got NoneType None, which NumPy reads as"
        " dtype object; the dtypes are bool, int8, int16, int32, int64, uint8,"
        " uint16, uint32, uint64, float16, bfloat16, float32, float64,"
        " complex64, complex128",
    ),
    "dtype_of_dates": (
        lambda: rx.asarray(np.array(["2020-01-01"], "M8[D]")),
        errors.DTypeError,
        "asarray: expected numbers, got ndarray array(['2020-01-01'],"
        " dtype='datetime64[D]'), which NumPy reads as dtype datetime64[D];"
        " the dtypes are bool, int8, int16, int32, int64, uint8, uint16,"
        " uint32, uint64, float16, bfloat16, float32, float64, complex64,"
        " complex128",
    ),
    "dtype_unknown": (
        lambda: rx.asarray([1.0], dtype="float80"),
        errors.DTypeError,
        "dtype 'float80' is not supported; use one of bool, int8, int16,"
        " int32, int64, uint8, uint16, uint32, uint64, float16, bfloat16,"
        " float32, float64, complex64, complex128",
    ),
    "dtype_astype": (
        lambda: X3.astype("S3"),
        errors.DTypeError,
        "dtype 'S3' is not supported; use one of bool, int8, int16, int32,"
        " int64, uint8, uint16, uint32, uint64, float16, bfloat16, float32,"
        " float64, complex64, complex128",
    ),
    "integer_too_large": (
        lambda: rx.asarray(1.0) + 2**70,
        errors.DTypeError,
        "the Python integer 1180591620717411303424 does not fit 64 bits; use a float",
    ),
    "integer_does_not_fit": (
        lambda: rx.asarray(np.uint8([1])) + 300,
        errors.DTypeError,
        "add: the Python integer 300 does not fit uint8 (0 to 255); convert"
        " the array with .astype(...)",
    ),
    "ragged": (
        lambda: rx.asarray([[1, 2], [3]]),
        errors.ShapeError,
        "asarray: the nested lists are ragged: setting an array element with a"
        " sequence. The requested array has an inhomogeneous shape after 1"
        " dimensions. The detected shape was (2,) + inhomogeneous part.",
    ),
    "bits_of_floats": (
        lambda: X3 & X3,
        errors.DTypeError,
        "and: dtype float32 (shape (3,)) is not one of bool, int8, int16,"
        " int32, int64, uint8, uint16, uint32, uint64; convert it with"
        " .astype(...)",
    ),
    "shift_of_floats": (
        lambda: X3 << 1,
        errors.DTypeError,
        "shift_left: dtype float32 (shape (3,)) is not one of int8, int16,"
        " int32, int64, uint8, uint16, uint32, uint64; convert it with"
        " .astype(...)",
    ),
    "minus_bools": (
        lambda: -(X3 > 0),
        errors.DTypeError,
        "neg: dtype bool (shape (3,)) is not one of int8, int16, int32, int64,"
        " uint8, uint16, uint32, uint64, float16, bfloat16, float32, float64,"
        " complex64, complex128; convert it with .astype(...)",
    ),
    "integer_power": (
        lambda: I3**-1,
        errors.DTypeError,
        "integer_pow: int32 (shape (3,)) to the power -1 is no integer;"
        " convert it with .astype(...) to a floating dtype first",
    ),
    "jit_leaf": (
        lambda: rx.jit(identity)("text"),
        errors.TreeError,
        "jit(identity) (arguments): the leaf at [0] is 'text' of type str,"
        " which is no array; convert it, or keep it out of the pytree (for"
        " rx.jit: static_argnums)",
    ),
    "jit_leaf_inside": (
        lambda: rx.jit(identity)({"a": [1.0, "text"]}),
        errors.TreeError,
        "jit(identity) (arguments): the leaf at [0]['a'][1] is 'text' of type"
        " str, which is no array; convert it, or keep it out of the pytree"
        " (for rx.jit: static_argnums)",
    ),
    "jit_keyword_leaf": (
        lambda: rx.jit(identity)(x={1, 2}),
        errors.TreeError,
        "jit(identity) (keyword arguments): the leaf at ['x'] is {1, 2} of"
        " type set, which is no array; convert it, or keep it out of the"
        " pytree (for rx.jit: static_argnums)",
    ),
    "jit_array_of_text": (
        lambda: rx.jit(identity)(np.array(["a"])),
        errors.DTypeError,
        "jit(identity) (arguments): the leaf at [0]: asarray: expected"
        " numbers, got ndarray array(['a'], dtype='<U1'), which NumPy reads as"
        " dtype <U1; the dtypes are bool, int8, int16, int32, int64, uint8,"
        " uint16, uint32, uint64, float16, bfloat16, float32, float64,"
        " complex64, complex128",
    ),
    "jit_result": (
        lambda: rx.jit(says)(X3),
        errors.TreeError,
        "jit(says) (result): the leaf is 'text' of type str, which is no"
        " array; convert it, or keep it out of the pytree (for rx.jit:"
        " static_argnums)",
    ),
    "jit_no_function": (
        lambda: rx.jit(3),
        errors.UserError,
        "jit: expected a function, got 3",
    ),
    "static_unhashable": (
        lambda: rx.jit(pair, static_argnums=1)(X3, [1]),
        errors.UserError,
        "jit: the static argument [1] of pair is not hashable; use a tuple in"
        " place of a list, or do not make it static",
    ),
    "static_missing": (
        lambda: rx.jit(identity, static_argnums=3)(X3),
        errors.ShapeError,
        "jit: static_argnums=(3,) names argument 3, but the call has 1"
        " positional arguments",
    ),
    "donate_missing": (
        lambda: rx.jit(identity, donate_argnums=2)(X3),
        errors.ShapeError,
        "jit: donate_argnums=(2,) names argument 2, but the call has 1"
        " positional arguments",
    ),
    "grad_of_many": (
        lambda: rx.grad(lambda x: x * 2)(X3),
        errors.ShapeError,
        "grad: the function must return a scalar (shape ()), it returned shape"
        " (3,); take .sum() or .mean(), or use rx.jacrev",
    ),
    "grad_of_integers": (
        lambda: rx.grad(lambda x: x.sum())(I3),
        errors.DTypeError,
        "grad: an argument of dtype int32 (shape (3,)) has no derivative;"
        " convert it to a float, or leave it out with argnums",
    ),
    "grad_of_an_int": (
        lambda: rx.grad(lambda x: x * x)(3),
        errors.DTypeError,
        "grad: an argument of dtype int32 (shape ()) has no derivative;"
        " convert it to a float, or leave it out with argnums",
    ),
    "grad_argument": (
        lambda: rx.grad(lambda x: x.sum(), 1)(X3),
        errors.ShapeError,
        "grad: argnums=1 names argument 1, but the call has 1 positional arguments",
    ),
    "grad_of_a_pair": (
        lambda: rx.grad(lambda x: (x.sum(), 1.0))(X3),
        errors.TreeError,
        "grad: the function must return one number, it returned a pytree of 2"
        " arrays; return one, or use has_aux=True for the rest",
    ),
    "grad_gives_integer": (
        lambda: rx.grad(lambda x: (x > 0).astype("int32").sum())(X3),
        errors.DTypeError,
        "grad: the function must return a float, it returned int32",
    ),
    "grad_of_complex": (
        lambda: rx.grad(lambda z: z * z)(1j),
        errors.DTypeError,
        "grad: an argument is complex64; pass holomorphic=True if the function"
        " is holomorphic, else split it into real and imaginary part",
    ),
    "jvp_shapes": (
        lambda: rx.jvp(identity, (X3,), (X4,)),
        errors.ShapeError,
        "jvp: a primal has shape (3,), its tangent (4,)",
    ),
    "jvp_no_tuple": (
        lambda: rx.jvp(identity, X3, X3),
        errors.TreeError,
        "jvp: primals must be a tuple or list with one entry per argument, got"
        " a Array; write (primal,)",
    ),
    "vjp_shape": (
        lambda: rx.vjp(identity, X3)[1](X4),
        errors.ShapeError,
        "vjp: a cotangent has shape (4,), its result (3,)",
    ),
    "vmap_sizes": (
        lambda: rx.vmap(pair)(X3, X4),
        errors.ShapeError,
        "vmap: mapped axes differ in length: 3 (shape (3,)), 4 (shape (4,))",
    ),
    "vmap_of_a_number": (
        lambda: rx.vmap(identity)(1.0),
        errors.ShapeError,
        "vmap: in_axes 0 is out of range for an argument of shape ()",
    ),
    "vmap_axis": (
        lambda: rx.vmap(identity, in_axes=2)(X3),
        errors.ShapeError,
        "vmap: in_axes 2 is out of range for an argument of shape (3,)",
    ),
    "vmap_nothing_mapped": (
        lambda: rx.vmap(identity, in_axes=None)(X3),
        errors.ShapeError,
        "vmap: no argument is mapped; give in_axes an int, or axis_size",
    ),
    "vmap_axes_too_few": (
        lambda: rx.vmap(pair, in_axes=(0,))(X3, X3),
        errors.TreeError,
        "vmap: in_axes has 1 entries, the call 2 arguments; give one entry per"
        " argument, or one int for all",
    ),
    "vmap_out_axis": (
        lambda: rx.vmap(identity, out_axes=3)(X3),
        errors.ShapeError,
        "vmap: out_axes 3 is out of range for a result of rank 1",
    ),
    "psum_without_axis": (
        lambda: rx.psum(X3, "i"),
        errors.TraceError,
        "psum: no axis is named 'i' here; names in scope: []. Call it inside"
        " rx.vmap(..., axis_name='i')",
    ),
    "psum_in_jit": (
        lambda: rx.jit(lambda x: rx.psum(x, "i"))(X3),
        errors.TraceError,
        "psum: no axis is named 'i' here; names in scope: []. Call it inside"
        " rx.vmap(..., axis_name='i')",
    ),
    "index_too_large": (
        lambda: X3[5],
        errors.OutOfRangeError,
        "indexing: index 5 is out of range for axis 0 of length 3 (shape (3,))",
    ),
    "index_too_small": (
        lambda: M[0, -9],
        errors.OutOfRangeError,
        "indexing: index -9 is out of range for axis 1 of length 3 (shape (2, 3))",
    ),
    "index_too_many": (
        lambda: X3[0, 0],
        errors.OutOfRangeError,
        "indexing: 2 indices for an array of rank 1 (shape (3,))",
    ),
    "index_a_float": (
        lambda: X3[1.5],
        errors.DTypeError,
        "indexing: 1.5 (float) is no index; use integers, slices, None, '...',"
        " or arrays of integers or bools",
    ),
    "bool_of_many": (
        lambda: bool(X3),
        errors.ShapeError,
        "bool() needs an array of one element, this one has shape (3,)",
    ),
    "float_of_many": (
        lambda: float(X3),
        errors.ShapeError,
        "float() needs an array of one element, this one has shape (3,)",
    ),
    "item_of_many": (
        lambda: X3.item(),
        errors.ShapeError,
        "item() needs an array of one element, this one has shape (3,)",
    ),
    "length_of_a_number": (
        lambda: len(X3[0]),
        TypeError,
        "len() of an array of rank 0",
    ),
    "number_as_index": (
        lambda: [1, 2][X3[0]],
        TypeError,
        "only an integer array of rank 0 is an index, not f32[]",
    ),
    "hash_of_an_array": (
        lambda: hash(X3),
        TypeError,
        "unhashable type: 'Array'",
    ),
    "setting": (
        lambda: setattr(rx.config, "speed", 1),
        errors.UserError,
        "config: there is no setting 'speed'; there are debug_nans,"
        " default_float, default_int, verify, log, num_threads,"
        " full_traceback, disable_jit, default_device, allow_opencl_cpu,"
        " deterministic_placement",
    ),
    "tree_structures": (
        lambda: rx.tree.map(pair, {"a": 1}, {"b": 1}),
        errors.TreeError,
        "tree.map: argument 2 has the structure PyTreeSpec({'b': *}), expected"
        " PyTreeSpec({'a': *})",
    ),
    "einsum_lengths": (
        lambda: rx.einsum("ij,jk->ik", M, M),
        errors.ShapeError,
        "einsum: label 'j' of 'ij,jk->ik' has lengths 3 and 2 (operands of"
        " shapes [(2, 3), (2, 3)])",
    ),
    "no_attribute": (
        lambda: rx.nothing,
        AttributeError,
        "module 'rxcore' has no attribute 'nothing'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_message_is(name: str) -> None:
    program, kind, text = WRONG[name]
    with pytest.raises(kind) as caught:
        program()
    assert type(caught.value) is kind
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ShapeError, ValueError),
        (errors.OutOfRangeError, IndexError),
        (errors.DTypeError, TypeError),
        (errors.TraceError, TypeError),
        (errors.TreeError, ValueError),
        (errors.DeviceError, RuntimeError),
    ],
)
def test_kinds_are_builtins_too(kind: Any, builtin: Any) -> None:
    assert issubclass(kind, builtin)
    assert issubclass(kind, errors.UserError)
    assert not issubclass(errors.InternalError, errors.UserError)
