"""Polynomials of a Nest's sizes: how often something happens, for every size at once.

A monomial is a product of powers of variables, which are numbered: variable k is the
k-th size. Powers may be negative: a block holds `total / count` elements on average,
and the loop that counts the blocks takes that division back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

__all__ = ["Monomial", "Polynomial"]

# ((variable, power), ...), variables in order, powers not 0.
Monomial = tuple[tuple[int, int], ...]


def _tidy(
    terms: Mapping[Monomial, float] | Iterable[tuple[Monomial, float]],
) -> tuple[tuple[Monomial, float], ...]:
    pairs = terms.items() if isinstance(terms, Mapping) else terms
    return tuple(sorted((m, float(c)) for m, c in pairs if c))


@frozen
class Polynomial:
    """A sum of monomials, each with a coefficient.

    Example:
        >>> n, m = Polynomial.of(0), Polynomial.of(1)
        >>> p = n * m * 2.0 + n
        >>> p.text(["rows", "columns"])
        '1.0*rows + 2.0*rows*columns'
        >>> p.value([10, 3])
        70.0
    """

    terms: tuple[tuple[Monomial, float], ...] = field(default=(), converter=_tidy)

    @classmethod
    def number(cls, value: float) -> Polynomial:
        """Return a constant."""
        return cls((((), value),))

    @classmethod
    def of(cls, variable: int, power: int = 1) -> Polynomial:
        """Return a power of one variable."""
        return cls(((((variable, power),), 1.0),))

    def __add__(self, other: Polynomial) -> Polynomial:
        total = dict(self.terms)
        for m, c in other.terms:
            total[m] = total.get(m, 0.0) + c
        return Polynomial(total)

    def __mul__(self, other: Polynomial | float) -> Polynomial:
        if not isinstance(other, Polynomial):
            return Polynomial([(m, c * other) for m, c in self.terms])
        total: dict[Monomial, float] = {}
        for m, c in self.terms:
            for n, d in other.terms:
                both = _product(m, n)
                total[both] = total.get(both, 0.0) + c * d
        return Polynomial(total)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def value(self, sizes: Sequence[float]) -> float:
        """Return the value at some sizes."""
        total = 0.0
        for m, c in self.terms:
            for variable, power in m:
                c *= float(sizes[variable]) ** power
            total += c
        return total

    def text(self, names: Sequence[str]) -> str:
        """Print as a Python expression."""
        return " + ".join(_show(m, c, names) for m, c in self.terms) or "0.0"


def _product(a: Monomial, b: Monomial) -> Monomial:
    if not a or not b:
        return a or b
    powers = dict(a)
    for variable, power in b:
        powers[variable] = powers.get(variable, 0) + power
    return tuple(sorted((v, p) for v, p in powers.items() if p))


def _show(m: Monomial, c: float, names: Sequence[str]) -> str:
    text = repr(c)
    for variable, power in m:
        sign = "*" if power > 0 else "/"
        text += (sign + names[variable]) * abs(power)
    return text
