"""The command line itself: the group of commands, and how errors are told."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any

import click

from rxcore import __version__
from rxcore.base import errors
from rxcore.cli.cache import cache
from rxcore.cli.calibrate import calibrate
from rxcore.cli.demo import demo
from rxcore.cli.devices import devices
from rxcore.cli.doctor import doctor
from rxcore.cli.explain import explain

__all__ = ["main"]


class Commands(click.Group):
    """Commands whose user errors are messages, not tracebacks."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Make the context; without colour where `NO_COLOR` asks for that."""
        if os.environ.get("NO_COLOR"):
            extra.setdefault("color", False)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except errors.UserError as error:
            raise click.ClickException(str(error)) from error


_SETTINGS: MutableMapping[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 88,
}


@click.group(cls=Commands, context_settings=_SETTINGS)
@click.version_option(__version__, package_name="rxcore", prog_name="rxcore")
def main() -> None:
    """Look at the devices that rxcore runs on, and at what it keeps on disk.

    \b
    Environment:
      RXCORE_CACHE_DIR        the folder of the cache
      RXCORE_OPENCL_PLATFORM  use OpenCL platforms with this in their name only
      RXCORE_OPENCL_LIMITS    pretend that devices have less: fp64=0,max_group=64
      NO_COLOR                print no colours
    """  # noqa: D301 - click's mark, no escape


for _command in (demo, devices, doctor, calibrate, explain, cache):
    main.add_command(_command)
