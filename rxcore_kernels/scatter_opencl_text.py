"""OpenCL C of a scatter: places of updates, and how those that meet are joined.

Updates of one place are joined by one work-item, in order: no atomics, and the same
result in every run.
"""

from __future__ import annotations

from functools import cache

from attrs import frozen

from rxcore_kernels.opencl_elements import ELEMENTS, identity, join_function
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import Memory, TypedSource, group_size, kernel

__all__ = [
    "FEW",
    "NOWHERE",
    "Join",
    "Places",
    "alone_source",
    "few_source",
    "last_source",
    "pieces_source",
    "places_source",
    "start_source",
]

FEW = 256
"""Updates up to which each work-item looks for its rivals among all."""

NOWHERE = (1 << 32) - 1
"""The place of an update that is left out."""

_GROUP = 64


@frozen
class Places:
    """How the place of an update is found.

    Args:
        indices: NumPy's names of the dtypes of the indices, one for each indexed axis.
        clip: whether indices are moved into range; else updates out of it are left out.
    """

    indices: tuple[str, ...]
    clip: bool

    @property
    def memories(self) -> list[Memory]:
        """The memories that hold the indices."""
        return [
            Memory(f"index{k}", ELEMENTS[d].memory) for k, d in enumerate(self.indices)
        ]

    @property
    def scalars(self) -> list[str]:
        """The length of each indexed axis and its stride."""
        count = range(len(self.indices))
        return [f"int {name}{k}" for k in count for name in ("size", "stride")]

    def find(self, update: str) -> str:
        """Return statements that set `place` and `inside` for an update."""
        lines = ["int place = 0; bool inside = true;"]
        for k, dtype in enumerate(self.indices):
            lines.append(f"{{ long i = (long)index{k}[{update}];")
            if self.clip:
                # A uint64 beyond int64 has become negative.
                large = f" i < 0 ? (long)size{k} - 1 :" * (dtype == "uint64")
                lines.append(f"  i ={large} i < 0 ? 0 : i;")
                lines.append(f"  i = i < size{k} ? i : size{k} - 1;")
            else:
                lines.append(f"  inside = inside && i >= 0 && i < size{k};")
            lines.append(f"  place += inside ? (int)i * stride{k} : 0; }}")
        return "".join(f"    {line}\n" for line in lines)


@frozen
class Join:
    """What is joined, and where the elements of one update go.

    Args:
        combine: "set", "add", "mul", "min" or "max".
        dtype: NumPy's name of the dtype; for "set" of bare bits.
        window: how many runs of axes an update has, each with a stride of its own.
        front: whether the axis of the updates comes before those of the window.
    """

    combine: str
    dtype: str
    window: int
    front: bool

    @property
    def functions(self) -> str:
        """C functions for values of the dtype."""
        return join_function("add" if self.setting else self.combine, self.dtype)

    @property
    def setting(self) -> bool:
        """Whether an update replaces what is there."""
        return self.combine == "set"

    @property
    def element(self) -> str:
        """The C type in memory."""
        return ELEMENTS[self.dtype].memory

    @property
    def value(self) -> str:
        """The C type of a value."""
        return ELEMENTS[self.dtype].value

    @property
    def memories(self) -> list[Memory]:
        """The updates and the result."""
        return [Memory("updates", self.element), Memory("out", self.element, True)]

    @property
    def scalars(self) -> list[str]:
        """Updates, elements of one, those behind the updates' axis, and the window."""
        names = ["count", "window", "behind"]
        for k in range(self.window):
            names += [f"run{k}", f"step{k}"]
        return [f"int {name}" for name in names]

    def locate(self) -> str:
        """Return statements that set `offset`: where element `w` lies in the result."""
        lines = ["int rest = w, offset = 0;"]
        lines += [
            f"{{ const int q = rest / run{k};"
            f" offset += (rest - q * run{k}) * step{k}; rest = q; }}"
            for k in reversed(range(1, self.window))
        ]
        if self.window:
            lines.append("offset += rest * step0;")
        if not self.front:
            lines.append("const int ahead = w / behind, aside = w - ahead * behind;")
        return "".join(f"    {line}\n" for line in lines)

    def load(self, update: str) -> str:
        """Return the value of an update's element `w`."""
        at = f"{update} * window + w"
        if not self.front:
            at = f"(ahead * count + {update}) * behind + aside"
        return f"read(updates[{at}])"


def _group(facts: Facts) -> int:
    return group_size(facts, _GROUP)


@cache
def start_source(facts: Facts, element: str, *, copied: bool) -> TypedSource:
    """Fill the result with the operand, or with zeros.

    Memories: the operand (if copied), the result. Scalars: elements.
    """
    given = [Memory("x", element)] if copied else []
    group = _group(facts)
    body = f"""\
  const int i = group * {group} + lid;
  if (i < n) out[i] = {"x[i]" if copied else "0"};
"""
    memories = [*given, Memory("out", element, True)]
    return kernel("scatter_start", memories, ["int n"], group, body)


@cache
def places_source(facts: Facts, places: Places) -> TypedSource:
    """Write the place of each update. Memories: indices, places. Scalars: see there."""
    group = _group(facts)
    body = f"""\
  const int u = group * {group} + lid;
  if (u < count) {{
{places.find("u")}\
    to[u] = inside ? (uint)place : {NOWHERE}u;
  }}
"""
    memories = [*places.memories, Memory("to", "uint", True)]
    scalars = ["int count", *places.scalars]
    return kernel("scatter_places", memories, scalars, group, body)


def _item(group: int) -> str:
    """Return statements that find the update `u` of a work-item and its element `w`."""
    return f"""\
  const int item = group * {group} + lid;
  if (item < count * window) {{
    const int u = item / window, w = item - u * window;
"""


@cache
def alone_source(facts: Facts, places: Places, join: Join) -> TypedSource:
    """Join updates of which no two meet. Memories: updates, result, indices."""
    group = _group(facts)
    value = join.load("u")
    if not join.setting:
        value = f"join(read(out[place + offset]), {value})"
    body = f"""\
{_item(group)}{places.find("u")}{join.locate()}\
    if (inside) out[place + offset] = kept({value});
  }}
"""
    memories = [*join.memories, *places.memories]
    return kernel(
        "scatter_alone",
        memories,
        [*join.scalars, *places.scalars],
        group,
        body,
        functions=join.functions,
    )


@cache
def few_source(facts: Facts, places: Places, join: Join) -> TypedSource:
    """Join a few updates: the first at a place takes the others there, in order.

    Memories: updates, result, indices.
    """
    group = _group(facts)
    if join.setting:
        # The last one writes alone.
        rivals, rest = "int j = u + 1; j < count", ""
        first = join.load("u")
    else:
        rivals = "int j = 0; j < u"
        first = f"join(read(out[at]), {join.load('u')})"
        rest = f"""\
        for (int j = u + 1; j < count; j++)
          if (where[j] == mine) value = join(value, {join.load("j")});
"""
    body = f"""\
  __local int where[{FEW}];
  for (int j = lid; j < count; j += {group}) {{
{places.find("j")}\
    where[j] = inside ? place : -1;
  }}
  barrier(CLK_LOCAL_MEM_FENCE);
{_item(group)}\
    const int mine = where[u];
    bool chosen = mine >= 0;
    for ({rivals} && chosen; j++) chosen = where[j] != mine;
    if (chosen) {{
{join.locate()}\
      const int at = mine + offset;
      {join.value} value = {first};
{rest}\
      out[at] = kept(value);
    }}
  }}
"""
    return kernel(
        "scatter_few",
        [*join.memories, *places.memories],
        [*join.scalars, *places.scalars],
        group,
        body,
        functions=join.functions,
        local_bytes=FEW * 4,
    )


_SORTED = (Memory("keys", "uint"), Memory("order", "int"))


@cache
def last_source(facts: Facts, join: Join) -> TypedSource:
    """Set by sorted updates: the last at a place writes.

    Memories: updates, result, sorted places, the updates there.
    """
    group = _group(facts)
    body = f"""\
{_item(group)}\
    const uint place = keys[u];
    const bool last = u == count - 1 || keys[u + 1] != place;
    if (last && place != {NOWHERE}u) {{
      const int v = order[u];
{join.locate()}\
      out[(int)place + offset] = kept({join.load("v")});
    }}
  }}
"""
    return kernel(
        "scatter_last",
        [*join.memories, *_SORTED],
        join.scalars,
        group,
        body,
        functions=join.functions,
    )


@cache
def pieces_source(facts: Facts, join: Join, *, first: bool) -> TypedSource:
    """Join sorted updates in pieces; what crosses an edge of pieces is kept for later.

    A piece has two places for what it cannot finish: what began before it, and what
    goes on behind it. If one place fills it all, it goes to the former, and the latter
    holds a value that changes nothing. So partial results of a place stay neighbours,
    and are joined by this kernel again. The first of them holds the operand's element.

    Memories: updates (or partial results), result, sorted places, the updates there (if
    first), the partial results and their places. Scalars: see `Join`, then how many are
    joined, and updates of a piece.
    """
    group = _group(facts)
    value = join.load("order[s]") if first else "partial[s * window + w]"
    begun = "join(read(out[(int)current + offset]), v)" if first else "v"
    finish = f"""\
if (before) {{
          to[2 * piece * window + w] = value;
          filled = true;
        }} else if (current != {NOWHERE}u) out[(int)current + offset] = kept(value);"""
    start = f"current != {NOWHERE}u ? {begun} : v"
    body = f"""\
  const int item = group * {group} + lid;
  const int pieces = (many + each - 1) / each;
  if (item < pieces * window) {{
    const int piece = item / window, w = item - piece * window;
{join.locate()}\
    const int from = piece * each;
    const int stop = from + each < many ? from + each : many;
    uint current = keys[from];
    const uint head = current;
    bool before = from > 0 && keys[from - 1] == current, filled = false;
    {join.value} value;
    for (int s = from; s < stop; s++) {{
      const {join.value} v = {value};
      const uint key = keys[s];
      if (s > from && key != current) {{
        {finish}
        before = false;
      }}
      if (s > from && key == current) value = join(value, v);
      else {{
        current = key;
        value = before ? v : {start};
      }}
    }}
    const bool after = stop < many && keys[stop] == current;
    const bool whole = before && after;
    if (!after) {{
        {finish}
    }}
    const int slot = 2 * piece;
    if (whole) to[slot * window + w] = value;
    if (after) to[(slot + 1) * window + w] = whole ? nothing : value;
    if (w == 0) {{
      to_keys[slot] = filled || whole ? head : {NOWHERE}u;
      to_keys[slot + 1] = after ? current : {NOWHERE}u;
    }}
  }}
"""
    given = (
        [*join.memories, *_SORTED]
        if first
        else [Memory("partial", join.value), join.memories[1], _SORTED[0]]
    )
    memories = [*given, Memory("to", join.value, True), Memory("to_keys", "uint", True)]
    nothing = f"#define nothing ({identity(join.combine, join.dtype)})\n"
    return kernel(
        "scatter_pieces" if first else "scatter_partial",
        memories,
        [*join.scalars, "int many", "int each"],
        group,
        body,
        functions=nothing + join.functions,
    )
