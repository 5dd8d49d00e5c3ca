"""Hide rxcore's own frames in the traceback of a user's error."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from rxcore.base import config, errors

F = TypeVar("F", bound=Callable[..., Any])
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def _outside(traceback: TracebackType | None) -> TracebackType | None:
    """Return the frames of a traceback that are not rxcore's own."""
    if traceback is None:
        return None
    rest = _outside(traceback.tb_next)
    if traceback.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        return rest
    return TracebackType(
        rest, traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno
    )


def without_frames(error: errors.UserError) -> errors.UserError:
    """Return a user's error without the frames inside rxcore, if that is wished.

    Raising it again adds one frame to those of the user.
    """
    if config.current().full_traceback:
        return error
    return error.with_traceback(_outside(error.__traceback__))


def hides_frames(function: F) -> F:
    """Show a user's errors without the frames inside rxcore.

    `rx.config.full_traceback = True` shows them all.
    """

    @functools.wraps(function)
    def shown(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except errors.UserError as error:
            raise without_frames(error) from error.__cause__

    return shown  # type: ignore[return-value]
