"""Matrices of dense square blocks."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import numpy as np
from attrs import field, frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.base.lazy import LazyModule
from rxcore.control.jit import jit
from rxcore.ops import bsr as products
from rxcore.ops.csr_pattern import transposed
from rxcore.ops.families import promote
from rxcore.runtime.array import Array, asarray
from rxcore.sparse.checks import (
    check_compressed,
    check_dense,
    check_index,
    check_lengths,
    check_room,
    check_scipy,
)
from rxcore.sparse.csr import left_product
from rxcore.sparse.dense import line_of_each, near, picked, places_of
from rxcore.sparse.held import (
    assembled,
    fix,
    read,
    register,
    shared,
    shared_index,
)
from rxcore.sparse.matrix import Matrix
from rxcore.trace.bind import as_numeric

__all__ = ["BLOCKS", "BSR"]

scipy_sparse = LazyModule("scipy.sparse", extra="scipy")

BLOCKS = (16, 32, 64)
"""Sizes of blocks: whole vectors, and whole parts of a 64-wide wavefront."""


@register
@frozen(eq=False, repr=False)
class BSR(Matrix):
    """A sparse matrix of dense square blocks, in compressed rows of blocks.

    **Meaning**, with the dense matrix padded to whole blocks:

        for i in range(len(indptr) - 1):
            for p in range(indptr[i], indptr[i + 1]):
                j = indices[p]
                dense[i * b:(i + 1) * b, j * b:(j + 1) * b] += data[p]

    See `CSR` for what the pattern is to transforms. What blocks hold beyond the shape
    counts nowhere.

    Args:
        data: blocks, of shape (nse, b, b) with b 16, 32 or 64.
        indices: column of each block, of shape (nse,).
        indptr: where the rows of blocks begin, of shape (ceil(rows / b) + 1,).
        shape: (rows, columns) of elements.

    Raises:
        ShapeError: when shapes do not fit each other, or blocks are of another size.
        DTypeError: when indices are no integers, or do not fit int32.
        OutOfRangeError: when a concrete index is out of range.
        UserError: when a concrete `indptr` decreases, or ends elsewhere.

    Example:
        >>> import rxcore as rx
        >>> import rxcore.numpy as rnp
        >>> A = rx.sparse.BSR(rnp.ones((1, 16, 16)), [1], [0, 1], (16, 32))
        >>> float((A @ rnp.ones(32)).sum())
        256.0
    """

    _VALUES: ClassVar[str] = "blocks"

    data: Any
    _indices: Any = field(converter=fix)
    _indptr: Any = field(converter=fix)
    shape: tuple[int, int] = field(metadata={"static": True})

    def __attrs_post_init__(self) -> None:
        self._settle()
        check_lengths("BSR", self.data, 3, indices=self.indices)
        check_block("BSR", self.data.shape[1])
        if self.data.shape[1] != self.data.shape[2]:
            raise errors.ShapeError(
                f"BSR: blocks must be square, got data of shape {self.data.shape}"
            )
        lines, others = self.blocks
        check_compressed("BSR", self._indptr, lines, self.nse)
        check_index("BSR", "indices", self._indices, others)

    @property
    def block(self) -> int:
        """Rows and columns of a block."""
        return int(self.data.shape[1])

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        rows, columns = self.shape
        return -(-rows // self.block), -(-columns // self.block)

    @property
    def indices(self) -> Any:
        """The columns of the blocks, int32."""
        return read(self._indices)

    @property
    def indptr(self) -> Any:
        """Where the rows of blocks begin, int32."""
        return read(self._indptr)

    def _detail(self) -> str:
        return f" blocks of {self.block}"

    @classmethod
    def from_dense(cls, x: Any, block: int = 32) -> BSR:
        """Return the blocks of a matrix that are not all zero.

        Args:
            x: concrete matrix.
            block: rows and columns of a block: 16, 32 or 64.

        Raises:
            ShapeError: when `x` is no matrix, or the block has another size.
            TraceError: when `x` is traced.
        """
        call = "BSR.from_dense"
        x = rnp.asarray(x)
        check_block(call, block)
        if x.ndim != 2:
            raise errors.ShapeError(f"{call}: expected a matrix, got shape {x.shape}")
        if not isinstance(x, Array):
            raise errors.TraceError(
                f"{call}: which blocks hold elements is not known while tracing; call"
                " it outside of jit"
            )
        host = x.host
        sizes = [-(-n // block) for n in host.shape]
        room = [(0, m * block - n) for m, n in zip(sizes, host.shape, strict=True)]
        whole = np.pad(host, room).reshape(sizes[0], block, sizes[1], block)
        row, column = np.nonzero((whole != 0).any((1, 3)))
        starts = np.searchsorted(row, np.arange(sizes[0] + 1))
        return cls(whole[row, :, column, :], column, starts, host.shape)

    def to_dense(self) -> Any:
        """Return the dense matrix; blocks at equal places add up."""
        rows, columns = self.blocks
        b = self.block
        row = near(line_of_each(self.indptr, self.nse), self.data)
        names = near(self.indices, self.data)
        zeros = rnp.zeros((rows, columns, b, b), self.data.dtype)
        whole = zeros.at[row, names].add(self.data, mode="drop")
        whole = whole.transpose((0, 2, 1, 3)).reshape((rows * b, columns * b))
        return whole[: self.shape[0], : self.shape[1]]

    @classmethod
    def from_scipy(cls, a: Any, block: int = 32) -> BSR:
        """Return a SciPy matrix or array.

        A BSR with blocks of an allowed size and int32 indices shares its memory: do
        not write to it afterwards. Others are cut into blocks.

        Args:
            a: SciPy matrix or array in any of its formats.
            block: rows and columns of a block, where `a` has none of its own.
        """
        check_block("BSR.from_scipy", block)
        check_scipy("BSR.from_scipy", a)
        own = getattr(a, "blocksize", None)
        if own is not None and own[0] == own[1] and own[0] in BLOCKS:
            names, ends = shared_index(a.indices), shared_index(a.indptr)
            return cls(shared(a.data), names, ends, a.shape)
        coo = a.tocoo()
        return _in_blocks(cls, coo.data, coo.row, coo.col, coo.shape, block)

    def to_scipy(self) -> Any:
        """Return a SciPy BSR array, which shares memory and is read-only.

        Raises:
            ShapeError: when the shape is no multiple of the block, as SciPy asks.
        """
        if any(n % self.block for n in self.shape):
            raise errors.ShapeError(
                f"BSR.to_scipy: SciPy needs whole blocks, but shape {self.shape} is no"
                f" multiple of {self.block}; convert it with sparse.to_csr first"
            )
        a = self.fixed()
        parts = (a.data.host, a.indices.host, a.indptr.host)
        return scipy_sparse.bsr_array(parts, shape=a.shape, copy=False)

    def fixed(self) -> BSR:
        """Return the matrix with its pattern as part of the structure.

        Padding is dropped.

        Raises:
            TraceError: when the pattern is traced.
        """
        if self.is_fixed:
            return self
        indices, indptr = self._concrete_pattern()
        lines, others = self.blocks
        line, place = places_of(indices, indptr, others)
        ends = np.searchsorted(line, np.arange(lines + 1))
        whole = place.size == self.nse
        data = self.data if whole else picked(self.data, asarray(place))
        return BSR(data, indices[place], ends, self.shape)

    def padded(self, nse: int | None = None) -> BSR:
        """Return the matrix with its pattern as leaves, and room for `nse` blocks.

        See `CSR.padded`.
        """
        _, room = check_room(nse, self.nse, "blocks")
        data, indices = self.data, self.indices
        if room:
            blocks = rnp.zeros((room, *data.shape[1:]), data.dtype)
            data = rnp.concatenate([data, blocks])
            beyond = rnp.full(room, self.blocks[1], dtypes.int32)
            indices = rnp.concatenate([indices, beyond])
        made: BSR = self._made(data=data, _indices=indices, _indptr=self.indptr)
        return made

    @property
    def T(self) -> BSR:  # noqa: N802 - NumPy's name
        """The transposed matrix; the order of a fixed pattern is computed once."""
        plan = transposed(self.indices, self.indptr, self.blocks[1])
        data = picked(self.data, plan.places).transpose((0, 2, 1))
        names, ends = plan.indices, plan.indptr
        if self.is_fixed:
            names, ends = fix(names), fix(ends)
        shape = self.shape[::-1]
        made: BSR = assembled(BSR, data=data, _indices=names, _indptr=ends, shape=shape)
        return made

    def __rmatmul__(self, x: Any) -> Any:
        return left_product(x, self)

    def __matmul__(self, x: Any) -> Any:
        check_dense("BSR @ x", x)
        x = as_numeric(x, "BSR @ x")
        if x.ndim not in (1, 2) or x.shape[0] != self.shape[1]:
            n = self.shape[1]
            raise errors.ShapeError(
                f"BSR @ x: a matrix of shape {self.shape} does not fit an operand of"
                f" shape {x.shape}: expected ({n},) or ({n}, n)"
            )
        data, x = promote([self.data, x], call="BSR @ x")
        parts = (data, self.indices, self.indptr, x)
        if all(isinstance(part, Array) for part in parts):
            return _compiled(self.shape, self.block)(*parts)
        return _product(*parts, shape=self.shape, block=self.block)


def check_block(call: str, block: int) -> None:
    """Check the size of blocks.

    Raises:
        ShapeError: when it is none of `BLOCKS`.
    """
    if block not in BLOCKS:
        raise errors.ShapeError(
            f"{call}: blocks must be 16, 32 or 64 wide, got {block}"
        )


@functools.cache
def _compiled(shape: tuple[int, int], block: int) -> Any:
    """Return the product as a jitted function of plain arrays: the shortest way."""

    def bsr_matmul(*parts: Any) -> Any:
        return _product(*parts, shape=shape, block=block)

    return jit(bsr_matmul)


def _product(
    data: Any, indices: Any, indptr: Any, x: Any, *, shape: tuple[int, int], block: int
) -> Any:
    rows, columns = shape
    blocks = (-(-rows // block), -(-columns // block))
    room = blocks[1] * block - columns
    if room:
        x = rnp.pad(x, ((0, room), *[(0, 0)] * (x.ndim - 1)))
    out = products.bsr_matmul.bind(data, indices, indptr, x, shape=blocks)
    return out[:rows] if out.shape[0] != rows else out


def _in_blocks(
    cls: type[BSR], data: Any, row: Any, column: Any, shape: Any, block: int
) -> BSR:
    """Return concrete elements in blocks; elements at equal places add up."""
    made, place = block_pattern(row, column, shape, block)
    blocks = np.zeros((made[0].size, block, block), data.dtype)
    np.add.at(blocks.reshape(-1), place, data)
    return cls(blocks, *made, shape)


def block_pattern(
    row: Any, column: Any, shape: tuple[int, int], block: int
) -> tuple[tuple[Any, Any], Any]:
    """Return the (indices, indptr) of elements in blocks, and their flat places."""
    rows, columns = (-(-n // block) for n in shape)
    row, column = row.astype(np.int64), column.astype(np.int64)
    key = row // block * max(columns, 1) + column // block
    every, which = np.unique(key, return_inverse=True)
    place = (which * block + row % block) * block + column % block
    starts = np.searchsorted(every, np.arange(rows + 1) * max(columns, 1))
    return (every % max(columns, 1), starts), place
