"""The data: scikit-learn's handwritten digits, or a file of the user's own."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from rxcore.base import errors
from rxcore.base.lazy import LazyModule

__all__ = ["Data", "digits", "from_file", "split"]

datasets = LazyModule("sklearn.datasets", "demo")
selection = LazyModule("sklearn.model_selection", "demo")

HELD_OUT = 0.2


@frozen(eq=False)
class Data:
    """Images to learn from, and others to be judged by.

    Args:
        name: what to call them.
        train_x: float32 of shape (count, features), 0 to 1.
        train_y: int32 of shape (count,), the classes.
        test_x: the same, held out.
        test_y: the same, held out.
        shape: rows and columns of an image, (1, features) where they are none.
    """

    name: str
    train_x: Any
    train_y: Any
    test_x: Any
    test_y: Any
    shape: tuple[int, int]

    @property
    def features(self) -> int:
        """The length of an image."""
        return int(self.train_x.shape[1])

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(max(self.train_y.max(), self.test_y.max())) + 1


def digits(seed: int = 0) -> Data:
    """Return the 1,797 digits of 8 x 8 pixels that come with scikit-learn.

    Pixels are divided by 16; a fifth is held out, each digit by its share.

    Source: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI, 1998.
    """
    pixels, classes = datasets.load_digits(return_X_y=True)
    return split("handwritten digits", pixels / 16, classes, (8, 8), seed)


def from_file(path: Path, seed: int = 0) -> Data:
    """Return the arrays `x` (count, ...) and `y` (count,) of an .npz file.

    Raises:
        UserError: the file cannot be read, or does not hold such arrays.
    """
    if path.is_file() and not zipfile.is_zipfile(path):
        raise errors.UserError(
            f"--data {path}: it cannot be read as .npz, which numpy.savez(path, x=x,"
            " y=y) writes"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ("x", "y") if name not in file.files]
            if missing:
                raise errors.UserError(
                    f"--data {path}: there is no array {' nor '.join(missing)} in it;"
                    " expected x (count, ...) and y (count,), as"
                    " numpy.savez(path, x=x, y=y) writes them"
                )
            x, y = file["x"], file["y"]
    except (OSError, ValueError) as error:
        raise errors.UserError(f"--data {path}: it cannot be read ({error})") from error
    whole = np.issubdtype(y.dtype, np.integer) and y.ndim == 1 and len(y) > 9
    if not whole or y.min() < 0 or len(x) != len(y) or x.ndim < 2:
        raise errors.UserError(
            f"--data {path}: x has shape {x.shape}, y {y.shape} and dtype {y.dtype};"
            " expected x (count, ...) and y (count,) of integers from 0, ten or more"
        )
    if not np.isfinite(x).all():
        raise errors.UserError(f"--data {path}: x holds NaN or infinite numbers")
    found, counts = np.unique(y, return_counts=True)
    held = int(HELD_OUT * len(y))
    if counts.min() < 2 or len(found) > held or found[-1] >= len(y):
        raise errors.UserError(
            f"--data {path}: it holds {len(found)} classes up to {found[-1]} in"
            f" {len(y)} rows; expected classes counted from 0, two rows or more of"
            f" each, and at most {held} classes, as a fifth of the rows is held out"
        )
    side = x.shape[1:] if x.ndim == 3 else (1, int(np.prod(x.shape[1:])))
    low, high = float(x.min()), float(x.max())
    scaled = (x.reshape(len(x), -1) - low) / max(high - low, 1e-30)
    return split(path.name, scaled, y, (int(side[0]), int(side[1])), seed)


def split(name: str, x: Any, y: Any, shape: tuple[int, int], seed: int) -> Data:
    """Hold out a fifth, each class by its share."""
    train_x, test_x, train_y, test_y = selection.train_test_split(
        x.astype(np.float32),
        y.astype(np.int32),
        test_size=HELD_OUT,
        stratify=y,
        random_state=seed,
    )
    return Data(name, train_x, train_y, test_x, test_y, shape)
