"""Sparse matrices as pytrees, and products that jit, grad and vmap."""

from __future__ import annotations

from rxcore.sparse.bsr import BSR
from rxcore.sparse.convert import (
    canonical,
    sort_indices,
    to_bsr,
    to_coo,
    to_csc,
    to_csr,
)
from rxcore.sparse.coo import COO
from rxcore.sparse.csr import CSC, CSR
from rxcore.sparse.format_plan import FormatEstimate, Plan, plan
from rxcore.sparse.products import (
    add,
    column_sum,
    csr_matmul,
    row_sum,
    scale,
    scale_columns,
    scale_rows,
    sddmm,
)

__all__ = [
    "BSR",
    "COO",
    "CSC",
    "CSR",
    "FormatEstimate",
    "Plan",
    "add",
    "canonical",
    "column_sum",
    "csr_matmul",
    "plan",
    "row_sum",
    "scale",
    "scale_columns",
    "scale_rows",
    "sddmm",
    "sort_indices",
    "to_bsr",
    "to_coo",
    "to_csc",
    "to_csr",
]
