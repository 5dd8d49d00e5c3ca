"""`rxcore explain`: why a call runs where it runs."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import rxcore
from rxcore.base import dtypes, errors
from rxcore.cli.output import json_option, print_json
from rxcore.control.effects import ShapeDtypeStruct

__all__ = ["ARGUMENT", "FUNCTION", "explain"]

_SHORT = {dtypes.short(d): d for d in dtypes.ALL}
_TYPE = re.compile(r"(\w+)\[((?:\d+(?:,\d+)*)?)\]")
_NUMBERS: tuple[Callable[[str], Any], ...] = (int, float)


class Function(click.ParamType):  # type: ignore[type-arg]
    """A function by the name of its module, or of its file: `module:function`."""

    name = "module:function"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Import the module, or run the file, and find the function."""
        place, colon, path = str(value).rpartition(":")
        if not colon or not place or not path:
            self.fail(
                f"{value!r} is not MODULE:FUNCTION or FILE.py:FUNCTION", param, ctx
            )
        try:
            found = _from_file(place) if place.endswith(".py") else _module(place)
        except OSError as error:
            self.fail(f"{place}: {error.strerror or error}", param, ctx)
        except ModuleNotFoundError as error:
            self.fail(f"{place}: {error}", param, ctx)
        for part in path.split("."):
            if not hasattr(found, part):
                self.fail(f"{place} has no {path!r}", param, ctx)
            found = getattr(found, part)
        if not callable(found):
            self.fail(f"{value} is no function but {found!r}", param, ctx)
        return found


def _module(name: str) -> Any:
    # As `python -m` does: modules are looked for where the command is called.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module(name)


def _from_file(name: str) -> Any:
    file = Path(name)
    if not file.is_file():
        raise FileNotFoundError(2, "there is no such file")
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = made
    spec.loader.exec_module(made)
    return made


class Argument(click.ParamType):  # type: ignore[type-arg]
    """The type of an array, `f32[1024,1024]`, or a number."""

    name = "type"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Return a shape and a dtype, or the number."""
        text = "".join(str(value).split())
        match = _TYPE.fullmatch(text)
        if match is None:
            for number in _NUMBERS:
                try:
                    return number(text)
                except ValueError:
                    continue
            self.fail(
                f"{value!r} is neither a type like 'f32[1024,1024]' or 'i32[]' nor a"
                " number",
                param,
                ctx,
            )
        dtype, sizes = match.groups()
        try:
            known = _SHORT.get(dtype) or dtypes.as_dtype(dtype)
        except errors.DTypeError:
            short = ", ".join(_SHORT)
            self.fail(
                f"{value!r}: there is no dtype {dtype!r}; use {short}", param, ctx
            )
        shape = tuple(int(n) for n in sizes.split(",") if n)
        return ShapeDtypeStruct(shape, known)


FUNCTION, ARGUMENT = Function(), Argument()


@click.command(short_help="Say where a call would run, and why.")
@click.argument("function", type=FUNCTION, metavar="MODULE:FUNCTION")
@click.argument("arguments", type=ARGUMENT, metavar="[TYPE]...", nargs=-1)
@click.option(
    "--device",
    "chosen",
    metavar="NAME",
    multiple=True,
    help="A device to compare, also one that is not here but has a shipped profile,"
    " like rx580; may be repeated. Default: all that are here.",
)
@json_option
def explain(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    chosen: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say where a call would run, what it would cost on each device, and why.

    Nothing is run: the function is traced for arguments of the given types. A file
    may stand for the module. A TYPE is a dtype with a shape, quoted for the shell:
    'f32[1024,1024]', 'i32[]' (rank 0), 'bf16[8,3]'; or a plain number.

    \b
    Examples:
      rxcore explain model:loss 'f32[256,784]' 'i32[256]'
      rxcore explain train.py:step 'f32[1024,1024]' --device cpu --device rx580
      rxcore explain model:loss 'f32[256,784]' 'i32[256]' --json
    """  # noqa: D301
    _check_count(function, arguments)
    options = {"devices": chosen} if chosen else {}
    found = rxcore.explain(function, **options)(*arguments)
    if as_json:
        print_json(found.as_dict())
    else:
        click.echo(str(found))


def _check_count(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Refuse types that cannot be the function's arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, which does not tell
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        name = getattr(function, "__name__", "the function")
        raise click.UsageError(
            f"{name}{signature} does not take {len(arguments)} arguments: {error};"
            " give one TYPE for each"
        ) from error
