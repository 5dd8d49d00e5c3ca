"""OpenCL C of convolutions: products whose second operand is read through a window.

Both kernels compute, for each group of channels::

    c[i, (o, column)] = sum(
        a[i, (u, row)] * x[o, u, column * column_step + row * row_step - low]
        for u in range(outer_rows)
        for row in rows
    )

where a column and a row are places in two or three dimensions and x is zero outside of
its space. A convolution's columns are its outputs and its rows the taps; the gradient
of the weights has them the other way round.
"""

from __future__ import annotations

import functools

from rxcore_kernels.launch import OpenCLSource, ScalarKind
from rxcore_kernels.matmul_opencl_text import (
    ELEMENT_NAMES,
    GROUP,
    SHORT,
    Blocks,
    begin,
    head,
    memories,
    multiply,
    scalars,
    store,
    tiles,
)

__all__ = ["AXES", "scalar_names", "window_direct_source", "window_tile_source"]

AXES = "zyx"


def scalar_names(axes: str) -> tuple[str, str, str]:
    """Return the names of the scalars: sizes, places in a group, and long strides."""
    each = "columns rows column_step row_step low space"
    near = [f"{name}_{axis}" for name in each.split() for axis in axes]
    far = [f"{name}_{axis}" for name in ("a", "c") for axis in axes]
    return (
        f"m n k groups tiles_m tiles_n depth {' '.join(near)}",
        f"a_row a_outer a_first x_column x_row c_row c_outer c_first {' '.join(far)}",
        "a_group x_group c_group c_part",
    )


def _signature(
    dtype: str, axes: str, kind: str
) -> tuple[tuple[str, ...], tuple[ScalarKind, ...]]:
    sizes, places, strides = scalar_names(axes)
    given = [scalars(int=sizes), scalars(**{kind: places}), scalars(long=strides)]
    kinds = tuple(each for _, kinds in given for each in kinds)
    return (memories(dtype, "a x", "c"), *(text for text, _ in given)), kinds


def _parts(index: str, sizes: str, axes: str) -> dict[str, str]:
    """Return expressions of the outer place of an index and of its place per axis."""
    found = {axes[-1]: f"{index} % {sizes}_{axes[-1]}"}
    below = f"{sizes}_{axes[-1]}"
    for axis in reversed(axes[:-1]):
        found[axis] = f"{index} / ({below}) % {sizes}_{axis}"
        below += f" * {sizes}_{axis}"
    return {**found, "outer": f"{index} / ({below})"}


def _place(index: str, sizes: str, name: str, axes: str, kind: str) -> str:
    """Return where the element of an index lies, by the strides of a memory."""
    parts = _parts(index, sizes, axes)
    terms = [f"({kind})({parts[p]}) * {name}_{p}" for p in ("outer", *axes)]
    return " + ".join([f"{name}_first", *terms])


def _column(column: str, axes: str, kind: str) -> list[str]:
    """Declare what a work-item knows of its column of x."""
    parts = _parts(column, "columns", axes)
    lines = [f"const {kind} seen = ({kind})({parts['outer']}) * x_column;"]
    lines += [
        f"const int seen_{p} = ({parts[p]}) * column_step_{p} - low_{p};" for p in axes
    ]
    return lines


def _begin_rows(axes: str) -> list[str]:
    """Declare the place of the row `start`."""
    parts = _parts("start", "rows", axes)
    lines = [f"int row_{p} = {parts[p]};" for p in axes]
    return [f"int above = {parts['outer']};", *lines]


def _next_row(axes: str) -> str:
    """Go one row on, as an odometer does."""
    text = "++above;"
    for p in axes:
        text = f"if (++row_{p} == rows_{p}) {{ row_{p} = 0; {text} }}"
    return text


def _read(axes: str, kind: str, guard: str) -> list[str]:
    """Declare `value`, the element of x at the work-item's column and the row."""
    lines = [f"const int at_{p} = seen_{p} + row_{p} * row_step_{p};" for p in axes]
    tests = [f"(uint)at_{p} < (uint)space_{p}" for p in axes]
    flat = f"at_{axes[0]}"
    for p in axes[1:]:
        flat = f"({flat} * space_{p} + at_{p})"
    condition = " && ".join([*([guard] if guard else []), *tests])
    lines += [
        f"const int inside = {condition};",
        f"const {kind} from = seen + above * x_row + {flat};",
        "const T value = inside ? x[from] : 0;",
    ]
    return lines


def _indent(lines: list[str], by: int) -> str:
    return "\n".join(" " * by + line for line in lines)


@functools.cache
def window_tile_source(t: Blocks, dtype: str, axes: str, wide: bool) -> OpenCLSource:
    """Return the product by tiles; each work-item reads one column of the x tile.

    Args:
        t: the tile; it must have as many columns as work-items.
        dtype: "float32" or "float64".
        axes: "yx" or "zyx".
        wide: whether places in a memory need 64 bits.
    """
    kind = "long" if wide else "int"
    symbol = f"window_{SHORT[dtype]}_{t.name}_{axes}" + ("_wide" if wide else "")
    parameters, kinds = _signature(dtype, axes, kind)
    lines = t.group // t.depth
    read_a = [
        f"const int q = item % {t.depth};",
        "const int inside = l + q < stop;",
        "const int step = inside ? l + q : l;",
        f"const {kind} at = {_place('step', 'rows', 'a', axes, kind)};",
        f"for (int i = 0; i < {t.rows // lines}; ++i) {{",
        f"  const int p = item / {t.depth} + i * {lines};",
        "  const int line = row_0 + p < m ? row_0 + p : m - 1;",
        f"  a_tile[q * {t.a_pitch} + p] = inside ? a[line * a_row + at] : 0;",
        "}",
    ]
    text = f"""{head(dtype, (t.width,))}
typedef {ELEMENT_NAMES[dtype]} T;
{begin(symbol, t.group, *parameters)}
{tiles(t, dtype)}
  int group = get_group_id(0) + base;
  const int column_0 = group % tiles_n * {t.columns};
  group /= tiles_n;
  const int row_0 = group % tiles_m * {t.rows};
  group /= tiles_m;
  const int part = group / groups;
  a += a_at + (group % groups) * a_group;
  x += x_at + (group % groups) * x_group;
  c += c_at + (group % groups) * c_group + part * c_part;
  const int start = part * depth;
  const int stop = k - start < depth ? k : start + depth;
  const int column = column_0 + item < n ? column_0 + item : n - 1;
{_indent([*_column("column", axes, kind), *_begin_rows(axes)], 2)}
  for (int l = start; l < stop; l += {t.depth}) {{
    {{
{_indent(read_a, 6)}
    }}
    for (int q = 0; q < {t.depth}; ++q) {{
{_indent(_read(axes, kind, "l + q < stop"), 6)}
      b_tile[q * {t.b_pitch} + item] = value;
      {_next_row(axes)}
    }}
{multiply(t, dtype)}
  }}
{store(t, kind, lambda column: _place(column, "columns", "c", axes, kind))}
}}
"""
    local = t.local_bytes(dtype)
    group = (t.group, 1, 1)
    return OpenCLSource(text, symbol, 3, kinds, group, local, dtype == "float64")


@functools.cache
def window_direct_source(dtype: str, axes: str, wide: bool) -> OpenCLSource:
    """Return the product in which each work-item sums one element of c (or part)."""
    kind = "long" if wide else "int"
    symbol = f"window_direct_{SHORT[dtype]}_{axes}" + ("_wide" if wide else "")
    parameters, kinds = _signature(dtype, axes, kind)
    along = " + ".join(f"row_{p} * a_{p}" for p in axes)
    text = f"""{head(dtype)}
typedef {ELEMENT_NAMES[dtype]} T;
{begin(symbol, GROUP, *parameters)}
  const int group = get_group_id(0) + base;
  const int part = group / tiles_n;
  const long item = (long)(group % tiles_n) * {GROUP} + get_local_id(0);
  const long lines = item / n;
  const int column = item - lines * n;
  const int set = lines / m;
  const int line = lines - (long)set * m;
  if (set < groups) {{
    a += a_at + set * a_group + line * a_row + a_first;
    x += x_at + set * x_group;
    c += c_at + set * c_group + part * c_part + line * c_row;
    const int start = part * depth;
    const int stop = k - start < depth ? k : start + depth;
{_indent([*_column("column", axes, kind), *_begin_rows(axes)], 4)}
    T sum = 0;
    for (int l = start; l < stop; ++l) {{
{_indent(_read(axes, kind, ""), 6)}
      sum = muladd(a[above * a_outer + {along}], value, sum);
      {_next_row(axes)}
    }}
    c[{_place("column", "columns", "c", axes, kind)}] = sum;
  }}
}}
"""
    group = (GROUP, 1, 1)
    return OpenCLSource(text, symbol, 3, kinds, group, 0, dtype == "float64")
