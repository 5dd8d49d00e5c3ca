"""Read OpenCL C closely enough to say what it calls, and who reaches its barriers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from attrs import define, field, frozen

__all__ = ["Barrier", "Text"]

_TOKEN = re.compile(r"[A-Za-z_]\w*|\d[\w.+]*|<<=|>>=|[-+*/%&|^!<>=]=|&&|\|\||<<|>>|\S")
_WORD = re.compile(r"[A-Za-z_]\w*")
_WORDS = frozenset(
    ("if", "for", "while", "do", "else", "return", "switch", "case", "sizeof")
)
_ASSIGN = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="))
# What differs between the work-items of a group.
_OWN = frozenset({"get_local_id", "get_global_id", "lid"})


@frozen
class Barrier:
    """A barrier, and the conditions of the blocks around it."""

    around: tuple[tuple[str, ...], ...]


@define
class Text:
    """The tokens of a text without comments and preprocessor lines.

    Args:
        text: OpenCL C.
    """

    text: str
    tokens: list[str] = field(init=False)
    macros: dict[str, list[str]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        code = re.sub(r"//.*|/\*.*?\*/", "", self.text).replace("\\\n", " ")
        lines = code.splitlines()
        found = (re.match(r"\s*#\s*define\s+(\w+)(.*)", line) for line in lines)
        self.macros = {m[1]: _TOKEN.findall(m[2]) for m in found if m}
        plain = "\n".join(x for x in lines if not x.lstrip().startswith("#"))
        self.tokens = _TOKEN.findall(plain)

    @property
    def defined(self) -> set[str]:
        """The functions that stand in the text, and macros."""
        depth, found = 0, set(self.macros)
        for before, token in zip(["", *self.tokens], self.tokens, strict=False):
            if token == "(" and depth == 0 and _WORD.fullmatch(before):
                found.add(before)
            depth += (token in "({") - (token in ")}")
        return found

    @property
    def called(self) -> set[str]:
        """Every word before a parenthesis, but words of the language."""
        every = [self.tokens, *self.macros.values()]
        return {
            a
            for tokens in every
            for a, b in pairwise(tokens)
            if b == "(" and _WORD.fullmatch(a) and a not in _WORDS
        }

    # --- barriers ------------------------------------------------------------------

    def kernel(self) -> list[str]:
        """Return the tokens of the kernel's body."""
        start = self.tokens.index("{", self.tokens.index("__kernel"))
        return self.tokens[start : _closing(self.tokens, start) + 1]

    def own(self) -> set[str]:
        """Return the variables of the kernel that may differ between work-items.

        Whatever is computed with such a variable may differ, in any order of the
        statements; memory read at a place that all share is the same for all.
        """
        body, found = self.kernel(), set(_OWN)
        assigned = list(_assignments(body))
        while True:
            before = len(found)
            for target, value in assigned:
                if found & value:
                    found.add(target)
            if len(found) == before:
                return found

    def barriers(self) -> Iterator[Barrier]:
        """Yield the barriers of the kernel."""
        yield from _barriers(self.kernel(), 0, ())

    def returns(self) -> bool:
        """Say whether the kernel ends before its end."""
        return "return" in self.kernel()


def _closing(tokens: list[str], start: int) -> int:
    """Return the place of the bracket that closes the one at a place."""
    depth = 0
    for k in range(start, len(tokens)):
        depth += (tokens[k] in "({[") - (tokens[k] in ")}]")
        if depth == 0:
            return k
    raise ValueError("a bracket is not closed")


def _assignments(body: list[str]) -> Iterator[tuple[str, set[str]]]:
    """Yield variables with the words of what they are set to.

    A store to an element of an array counts as one to the array, of its place too.
    """
    for k, token in enumerate(body):
        if token in ("++", "--"):
            continue
        if token not in _ASSIGN:
            continue
        begin = k - 1
        words: set[str] = set()
        if body[begin] == "]":
            depth = 0
            while True:
                depth += (body[begin] == "]") - (body[begin] == "[")
                begin -= 1
                if depth == 0:
                    break
            # Elements of local or global memory are read where all items agree.
            if not _is_private(body, body[begin]):
                continue
        target = body[begin]
        end = k + 1
        depth = 0
        while body[end] not in (";", ",") or depth:
            depth += (body[end] in "([") - (body[end] in ")]")
            if depth < 0:
                break
            words |= {body[end]} if _WORD.fullmatch(body[end]) else set()
            end += 1
        yield target, words


def _is_private(body: list[str], name: str) -> bool:
    """Say whether an array is declared in the kernel, and not in local memory."""
    for k in range(1, len(body) - 1):
        if body[k] == name and body[k + 1] == "[" and _WORD.fullmatch(body[k - 1]):
            return body[k - 2] != "__local" and body[k - 1] not in _WORDS
    return False


def _barriers(
    tokens: list[str], at: int, around: tuple[tuple[str, ...], ...]
) -> Iterator[Barrier]:
    """Walk statements; a condition holds for the statement or block behind it."""
    pending: list[tuple[str, ...]] = []
    stack: list[int] = []
    conditions = list(around)
    while at < len(tokens):
        token = tokens[at]
        if token in ("if", "for", "while", "switch"):
            end = _closing(tokens, at + 1)
            pending.append(tuple(tokens[at + 1 : end + 1]))
            at = end + 1
            continue
        if token == "{":
            stack.append(len(pending))
            conditions += pending
            pending = []
        elif token == "}":
            count = stack.pop()
            del conditions[len(conditions) - count :]
        elif token == ";":
            pending = []
        elif token == "barrier":
            yield Barrier((*conditions, *pending))
        at += 1
