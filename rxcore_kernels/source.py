"""The text of one kernel, before it is built."""

import hashlib

from attrs import field, frozen

__all__ = ["DIRECT", "QUICK", "Source"]

DIRECT = '"rxcore-direct"'
"""Attribute of a function that is printed as the machine should run it."""

QUICK = '"rxcore-quick"'
"""Attribute of a function that is glue: better compiled soon than well."""


@frozen
class Source:
    """One kernel as LLVM IR text.

    **Meaning.** ``text`` is a whole module with opaque pointers, without target
    triple and data layout lines. It defines
    ``i32 @symbol(ptr noalias %words, i64 %lo, i64 %hi)``, which returns 0 when all
    went well. It may call symbols of the process (libc, libm), nothing else.

    Args:
        text: LLVM IR of the module.
        symbol: Name of the function that is the step.

    Example:
        >>> nothing = Source(
        ...     "define i32 @nothing(ptr %w, i64 %lo, i64 %hi) { ret i32 0 }", "nothing"
        ... )
        >>> len(nothing.key)
        64
    """

    text: str
    symbol: str
    key: str = field(init=False, eq=False, repr=False)
    """SHA-256 of the text in hexadecimal: equal text is the same kernel."""

    @key.default
    def _hash(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()
