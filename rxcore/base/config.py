"""Settings, as one frozen value that is current in a thread or for a `with` block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import attrs
from attrs import field, frozen

from rxcore.base import dtypes, errors


def _log_from_environment() -> frozenset[str]:
    text = os.environ.get("RXCORE_LOG", "")
    return frozenset(part.strip() for part in text.split(",") if part.strip())


@frozen
class Settings:
    """All settings.

    Args:
        debug_nans: raise when a result holds a NaN, naming the op that made it.
        default_float: the dtype of floats whose dtype nobody named.
        default_int: the dtype of integers whose dtype nobody named.
        verify: check every Graph and Nest after every pass.
        log: what is printed to stderr: graph, nests, source, cache.
        num_threads: threads of parallel loops; None: what the machine gives.
        full_traceback: show rxcore's own frames in errors.
        disable_jit: run jitted functions op by op.
        default_device: where arrays are made and programs run; None: arrays are made
            on the CPU, and each call goes where it is fastest.
        allow_opencl_cpu: let calls be placed on OpenCL devices that are the CPU.
        deterministic_placement: place calls by the shipped device profiles alone,
            not by what was measured: equal calls go to equal places in every run.
    """

    debug_nans: bool = False
    default_float: Any = field(default=dtypes.float32, converter=dtypes.as_dtype)
    default_int: Any = field(default=dtypes.int32, converter=dtypes.as_dtype)
    verify: bool = False
    log: frozenset[str] = field(factory=_log_from_environment, converter=frozenset)
    num_threads: int | None = None
    full_traceback: bool = False
    disable_jit: bool = False
    default_device: str | None = None
    allow_opencl_cpu: bool = False
    deterministic_placement: bool = False


_base = [Settings()]
# The open `with` blocks of all threads.
_nested: list[Any] = []
_scoped: ContextVar[Settings | None] = ContextVar("rxcore_settings", default=None)


def current() -> Settings:
    """Return the settings that hold here."""
    return _scoped.get() or _base[0]


def _checked(changes: dict[str, Any]) -> dict[str, Any]:
    known = [a.name for a in attrs.fields(Settings)]
    for name in changes:
        if name not in known:
            raise errors.UserError(
                f"config: there is no setting {name!r}; there are {', '.join(known)}"
            )
    return changes


# Not empty while some setting is not as it was at the start: warm calls then take
# the path that looks at settings.
unusual: list[Any] = []
# Who else wants them to take it: the recorders of `rxcore.base.timeline`.
watching: list[Any] = []
_first = _base[0]


def mark_unusual() -> None:
    """Say whether warm calls take the path that looks at settings and recorders."""
    usual = _base[0] == _first and not _nested and not watching
    unusual[:] = [] if usual else [True]


def _apply(settings: Settings) -> None:
    mark_unusual()
    scoped = _scoped.get() is not None
    dtypes.set_defaults(settings.default_float, settings.default_int, scoped)
    for observer in observers:
        observer(settings)


# Called with the settings whenever they change (the thread pool listens).
observers: list[Any] = []


@contextmanager
def scoped(**changes: Any) -> Iterator[Settings]:
    """Change settings for a `with` block."""
    before = current()
    token = _scoped.set(attrs.evolve(before, **_checked(changes)))
    _nested.append(token)
    _apply(current())
    try:
        yield current()
    finally:
        _nested.remove(token)
        _apply(before)
        _scoped.reset(token)


class Config:
    """The settings as attributes: `rx.config.debug_nans = True`.

    Calling it changes settings for a `with` block: `with rx.config(debug_nans=True):`.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        _checked({name: None})
        return getattr(current(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        made = attrs.evolve(current(), **_checked({name: value}))
        if _scoped.get() is not None:
            _scoped.set(made)
        else:
            _base[0] = made
        _apply(made)

    def __call__(self, **changes: Any) -> Any:
        """Change settings for a `with` block."""
        return scoped(**changes)

    def __repr__(self) -> str:
        return repr(current())


config = Config()
