"""`rxcore cache`: what is kept on disk."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click
from attrs import frozen

from rxcore.cli.output import as_bytes, json_option, print_json, table
from rxcore.runtime import verdicts
from rxcore_kernels import cache as objects

__all__ = ["KINDS", "Kind", "cache"]


@frozen
class Kind:
    """A sort of files in the cache's folder.

    Args:
        name: what the command line calls it.
        pattern: of the files' names.
        what: what they hold.
    """

    name: str
    pattern: str
    what: str

    def files(self, folder: Path) -> list[tuple[Path, int]]:
        """Return the files with their sizes."""
        found = []
        with contextlib.suppress(OSError):
            for file in folder.glob(self.pattern):
                with contextlib.suppress(OSError):
                    found.append((file, file.stat().st_size))
        return found


KINDS = (
    Kind("kernels", "*.rxo", "compiled kernels of this processor"),
    Kind("binaries", f"*{objects.DEVICE_SUFFIX}", "kernels of OpenCL devices"),
    Kind("profiles", "profile-*.json", "measured speeds of devices"),
    Kind("verdicts", f"{verdicts.PREFIX}*", "what devices compute wrongly"),
)
# What a writer that died has left.
_LEFT = Kind("left", ".*.part", "")
_NAMES = [k.name for k in KINDS]


@click.group()
def cache() -> None:
    """Look at the cache on disk, or clear it.

    The cache is only ever read by rxcore of this user; it may be removed at any time.
    RXCORE_CACHE_DIR says where it is.
    """


@cache.command()
@json_option
def info(as_json: bool) -> None:
    """Say where the cache is and what is in it.

    \b
    Examples:
      rxcore cache info
      rxcore cache info --json | jq .bytes
    """  # noqa: D301
    now = objects.current()
    found = {k.name: k.files(now.path) if now.path else [] for k in KINDS}
    counts = {
        name: {"files": len(files), "bytes": sum(size for _, size in files)}
        for name, files in found.items()
    }
    total = sum(c["bytes"] for c in counts.values())
    if as_json:
        print_json(
            {
                "path": None if now.path is None else str(now.path),
                "usable": now.path is not None,
                "reason": now.reason,
                "bytes": total,
                "kinds": counts,
            }
        )
        return
    if now.path is None:
        click.echo(f"there is no cache on disk: {now.reason}")
        return
    click.echo(str(now.path))
    rows = [
        [
            k.name,
            str(counts[k.name]["files"]),
            as_bytes(counts[k.name]["bytes"]),
            k.what,
        ]
        for k in KINDS
    ]
    click.echo(table(("kind", "files", "size", "what"), rows, right=(1, 2)))


@cache.command()
@click.argument(
    "kinds", nargs=-1, metavar="[KIND]...", type=click.Choice(_NAMES), required=False
)
@json_option
def clear(kinds: tuple[str, ...], as_json: bool) -> None:
    """Remove what the cache holds: all of it, or some KINDs.

    KIND is one of kernels, binaries, profiles, verdicts. Kernels are compiled again
    when they are needed; without a profile the shipped one is used; without a verdict
    a device that computes something wrongly is used for it again.

    \b
    Examples:
      rxcore cache clear
      rxcore cache clear kernels binaries
    """  # noqa: D301
    now = objects.current()
    if now.path is None:
        raise click.ClickException(f"there is no cache on disk: {now.reason}")
    removed: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        if not kinds or kind.name in kinds:
            gone = [size for file, size in kind.files(now.path) if _remove(file)]
            removed[kind.name] = {"files": len(gone), "bytes": sum(gone)}
    for file, _ in _LEFT.files(now.path):
        _remove(file)
    verdicts.forget()
    if as_json:
        print_json({"path": str(now.path), "removed": removed})
        return
    files = sum(r["files"] for r in removed.values())
    size = as_bytes(sum(r["bytes"] for r in removed.values()))
    click.echo(f"removed {files} files ({size}) from {now.path}")


def _remove(file: Path) -> bool:
    try:
        file.unlink()
    except OSError:
        return False
    return True
