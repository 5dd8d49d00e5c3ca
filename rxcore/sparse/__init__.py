"""Sparse matrices as pytrees, and products that jit, grad and vmap."""

from __future__ import annotations

from rxcore.sparse.csr import CSC, CSR

__all__ = ["CSC", "CSR"]
