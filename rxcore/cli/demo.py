"""`rxcore demo`: one network, made smaller and faster in every way there is."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from rxcore.base.lazy import LazyModule
from rxcore.cli.output import json_option, print_json, table

__all__ = ["demo"]

tqdm = LazyModule("tqdm", "demo")
data = LazyModule("rxcore.demo.data")
figure = LazyModule("rxcore.demo.figure")
run = LazyModule("rxcore.demo.run")


@click.command()
@click.option(
    "--data",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="An .npz file with x (count, ...) and y (count,). Default: the digits of"
    " scikit-learn.",
)
@click.option("--epochs", default=60, show_default=True, type=click.IntRange(1))
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Fixes every random choice.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("demo.png"),
    show_default=True,
    help="Where the page of figures goes.",
)
@click.option(
    "--goal",
    type=click.FloatRange(0, 1),
    help="Fail where the dense network reads less than this share rightly.",
)
@json_option
def demo(
    path: Path | None,
    epochs: int,
    seed: int,
    output: Path,
    goal: float | None,
    as_json: bool,
) -> None:
    """Train a network, and make it smaller and faster in every way there is.

    Dense; quantized to int8 and int4; pruned step by step; sparse from its first step;
    sparse and int8; spiking. Prints one table, and saves one page of figures. Needs
    `pip install 'rxcore[demo]'`.

    \b
    Examples:
      rxcore demo
      rxcore demo --data mine.npz --epochs 20 --output page.png
    """  # noqa: D301
    begin = time.perf_counter()
    figure.check_page(output)
    found = data.digits(seed) if path is None else data.from_file(path, seed)
    if not as_json:
        click.echo(
            f"{found.name}: {len(found.train_x):,} to learn from,"
            f" {len(found.test_x):,} held out; {found.features} features,"
            f" {found.classes} classes\n"
        )
    methods, pictures = run.run(found, epochs, seed, _bars(as_json))
    figure.draw_page(methods, pictures, output)
    if as_json:
        print_json({"methods": [_described(m) for m in methods], "page": str(output)})
    else:
        click.echo(f"\n{_table(methods)}\n")
        for target in dict.fromkeys(m.target for m in methods):
            click.echo(_why(methods, target))
        click.echo(f"\npage: {output}")
        click.echo(f"{time.perf_counter() - begin:.1f} s in all")
    if goal is not None and methods[0].accuracy < goal:
        raise click.ClickException(
            f"the dense network reads {methods[0].accuracy:.2%} rightly, below the goal"
            f" of {goal:.2%}"
        )


def _bars(silent: bool) -> Any:
    def progress(title: str, items: Iterable[Any]) -> Iterable[Any]:
        every = list(items)
        shown: Iterable[Any] = tqdm.tqdm(
            every, f"{title:<24}", unit="", ncols=80, disable=silent or None
        )
        return shown

    return progress


def _table(methods: list[Any]) -> str:
    head = ("method", "accuracy", "bytes", "smaller", "ms, 1", "ms, 256", "runs on")
    most = methods[0].nbytes
    rows = [
        [
            m.name,
            f"{m.accuracy:.2%}",
            f"{m.nbytes:,}",
            f"{most / m.nbytes:.1f}x",
            f"{m.one:.3f}",
            f"{m.many:.3f}",
            m.target,
        ]
        for m in methods
    ]
    return table(head, rows, right=(1, 2, 3, 4, 5))


def _why(methods: list[Any], target: str) -> str:
    mine = [m for m in methods if m.target == target]
    return f"why {target}, a batch of 256 of the {mine[0].name}: {mine[0].reason}"


def _described(m: Any) -> dict[str, Any]:
    return {
        "name": m.name,
        "accuracy": m.accuracy,
        "bytes": m.nbytes,
        "ms_1": m.one,
        "ms_256": m.many,
        "target": m.target,
        "reason": m.reason,
        "terms": m.terms,
    }
