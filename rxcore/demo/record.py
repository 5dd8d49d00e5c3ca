"""What the demo finds out: a record for each way to predict, and what is drawn."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

__all__ = ["Method", "Pictures"]


@frozen(eq=False)
class Method:
    """One way to predict, trained and measured.

    Args:
        name: what to call it.
        accuracy: the share of held-out images that it reads rightly.
        nbytes: bytes of all that it keeps: codes, scales, indices, biases.
        one: milliseconds for one image.
        many: milliseconds for a batch of 256.
        target: where the cost model runs the batch.
        reason: why, in its words.
        terms: the prediction's parts in seconds, by name.
    """

    name: str
    accuracy: float
    nbytes: int
    one: float
    many: float
    target: str
    reason: str
    terms: dict[str, float] = field(factory=dict)


@frozen(eq=False)
class Pictures:
    """What is drawn beside the table.

    Args:
        weights: titles, and matrices of weights, 0 where they were removed.
        spikes: (time, neurons), of one image.
        digit: the image's class.
        terms: for some methods the cost model's terms in seconds, by name.
    """

    weights: tuple[tuple[str, Any], ...]
    spikes: Any
    digit: int
    terms: tuple[tuple[str, dict[str, float]], ...]
