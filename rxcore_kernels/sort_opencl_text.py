"""OpenCL C of a stable merge sort of keys, with or without their places.

A work-group sorts a tile in local memory: each work-item sorts a few items in private
memory, then pairs of sorted runs are merged. Merging parts its output evenly among
work-items by a search along a diagonal (Odeh, Green, Mwassi, Shmueli and Birk, "Merge
path", 2012), so that ties never unbalance it and equal keys keep their order.
"""

from __future__ import annotations

from functools import cache

from attrs import frozen

from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import Memory, TypedSource, group_size, kernel
from rxcore_kernels.sort_items import KINDS, Kind

__all__ = ["EACH", "Order", "block_source", "merge_source"]

EACH = 8
"""Items that a work-item sorts or merges."""

_LARGEST_GROUP = 128

_UNSIGNED = {8: "uchar", 16: "ushort", 32: "uint", 64: "ulong"}


@frozen
class Order:
    """What is sorted, and what for.

    Args:
        dtype: NumPy's name of the dtype of the elements.
        placed: whether places are sorted along; if so -0.0 and 0.0 are equal, else
            -0.0 comes first.
        descending: whether the largest comes first.
        values: whether sorted elements are wanted, and not places alone.
    """

    dtype: str
    placed: bool
    descending: bool = False
    values: bool = True

    @property
    def kind(self) -> Kind:
        """How the dtype's bits are ordered."""
        return KINDS[self.dtype]

    @property
    def element(self) -> str:
        """The C type of an element's bits."""
        return _UNSIGNED[self.kind.width]

    @property
    def key(self) -> str:
        """The C type of a key."""
        return "ulong" if self.kind.width == 64 else "uint"

    @property
    def key_bytes(self) -> int:
        """Bytes of a key."""
        return 8 if self.kind.width == 64 else 4

    @property
    def item_bytes(self) -> int:
        """Bytes of a key and a place."""
        return self.key_bytes + 4 * self.placed

    @property
    def bare(self) -> Order:
        """The order of keys already made: orders with keys of one width share it."""
        return Order(f"uint{8 * self.key_bytes}", self.placed)

    def group(self, facts: Facts) -> int:
        """Return the work-items of a work-group."""
        return group_size(facts, _LARGEST_GROUP, EACH * self.item_bytes + 8)

    def functions(self) -> str:
        """Return C functions between elements' bits and keys."""
        kind, key = self.kind, self.key
        suffix = "ul" if kind.width == 64 else "u"
        sign = f"{1 << (kind.width - 1)}{suffix}"
        mask = f"{(1 << kind.width) - 1}{suffix}"
        if kind.infinity:
            encode = f"""\
  const {key} size = b & ~{sign} & {mask};
  {"b = size == 0 ? 0 : b;" if self.placed else ""}
  b = (b & {sign}) != 0 ? ~b & {mask} : b | {sign};
  b = size > {kind.infinity}{suffix} ? {mask} : b;"""
            decode = f"(k & {sign}) != 0 ? k ^ {sign} : ~k & {mask}"
        else:
            encode = f"  b = b ^ {sign};" if kind.signed else ""
            decode = f"k ^ {sign}" if kind.signed else "k"
        turned = f"b ^ {mask}" if self.descending else "b"
        back = f"  k = k ^ {mask};\n" if self.descending else ""
        return f"""\
static inline {key} key_of({self.element} bits) {{
  {key} b = bits;
{encode}
  return {turned};
}}
static inline {self.element} bits_of({key} k) {{
{back}  return ({self.element})({decode});
}}
"""

    def unsorted(self) -> list[Memory]:
        """Return the memories of keys made before."""
        found = [Memory("from_keys", self.key)]
        return [*found, Memory("from_places", "int")] if self.placed else found

    def results(self, finished: bool) -> list[Memory]:
        """Return the memories that are written."""
        if not finished:
            found = [Memory("to_keys", self.key, True)]
            return [*found, Memory("to_places", "int", True)] if self.placed else found
        values = [Memory("values", self.element, True)] if self.values else []
        return [*values, Memory("places_out", "int", True)] if self.placed else values

    def store(self, finished: bool) -> str:
        """Return the statement that writes item `s` of the tile at place `o`."""
        if not finished:
            places = " to_places[o] = places[s];" if self.placed else ""
            return f"to_keys[o] = keys[s];{places}"
        if not self.placed:
            return "values[o] = bits_of(keys[s]);"
        values = " values[o] = x[row * length + places[s]];" if self.values else ""
        return f"places_out[o] = places[s];{values}"


def _local(order: Order, size: int) -> str:
    places = f"  __local int places[{size}];\n" if order.placed else ""
    return f"  __local {order.key} keys[{size}];\n{places}"


def _private(order: Order) -> str:
    places = f"  int p[{EACH}];\n" if order.placed else ""
    return f"  {order.key} k[{EACH}];\n{places}"


def _sort_few(order: Order) -> str:
    """Sort a work-item's own items by swapping neighbours in turns: it is stable."""
    lines = []
    for turn in range(EACH):
        for i in range(turn % 2, EACH - 1, 2):
            moved = _swapped(order.key, "k", i)
            moved += " " + _swapped("int", "p", i) if order.placed else ""
            lines.append(f"  if (k[{i + 1}] < k[{i}]) {{ {moved} }}\n")
    return "".join(lines)


def _swapped(type: str, name: str, i: int) -> str:
    a, b = f"{name}[{i}]", f"{name}[{i + 1}]"
    return f"const {type} t{name} = {a}; {a} = {b}; {b} = t{name};"


def _take(order: Order) -> str:
    places = f"\n    p[e] = places[lid * {EACH} + e];" if order.placed else ""
    return f"""\
  for (int e = 0; e < {EACH}; e++) {{
    k[e] = keys[lid * {EACH} + e];{places}
  }}
"""


def _put(order: Order, pad: str = "  ") -> str:
    places = f"\n{pad}  places[lid * {EACH} + e] = p[e];" if order.placed else ""
    return f"""\
{pad}for (int e = 0; e < {EACH}; e++) {{
{pad}  keys[lid * {EACH} + e] = k[e];{places}
{pad}}}
{pad}barrier(CLK_LOCAL_MEM_FENCE);
"""


def _search(a: str, b: str) -> str:
    """Return statements that find how many of the first run come before a diagonal.

    They read `diagonal`, `an` and `bn`; the answer is `low`.
    """
    return f"""\
    int low = diagonal > bn ? diagonal - bn : 0;
    int high = diagonal < an ? diagonal : an;
    while (low < high) {{
      const int middle = (low + high) >> 1;
      if ({b.format("diagonal - 1 - middle")} < {a.format("middle")}) high = middle;
      else low = middle + 1;
    }}
"""


def _merge(order: Order, size: int) -> str:
    """Return statements that merge a work-item's share of two runs in local memory.

    The runs begin at `a0` and `b0`; the share begins at `diagonal`.
    """
    places = "\n      p[e] = places[s];" if order.placed else ""
    return f"""\
{_search("keys[a0 + {}]", "keys[b0 + {}]")}\
    int i = low, j = diagonal - low;
    for (int e = 0; e < {EACH}; e++) {{
      const bool first = j >= bn || (i < an && !(keys[b0 + j] < keys[a0 + i]));
      int s = first ? a0 + i : b0 + j;
      s = s < {size} ? s : {size - 1};
      k[e] = keys[s];{places}
      i += first ? 1 : 0;
      j += first ? 0 : 1;
    }}
"""


def _tile_place(size: int) -> str:
    """Return statements that find the row of item `s` of a tile, and where in it."""
    return f"""\
    const int unit = (group << ({size.bit_length() - 1} - bits)) + (s >> bits);
    const int inside = s & ((1 << bits) - 1);
    const int row = unit / tiles, tile = unit - row * tiles;
"""


@cache
def block_source(
    facts: Facts, order: Order, *, fresh: bool, finished: bool
) -> TypedSource:
    """Sort tiles, and keep the first few of each.

    Memories: the elements (if fresh, or if values follow places), keys and places (if
    not fresh), results. Scalars: tiles in all, tiles of a row, elements of a row, log2
    of a tile, how many of each tile are kept, elements of a row of the result, elements
    of a row at first.

    Args:
        facts: the device.
        order: what is sorted.
        fresh: whether elements come in; else keys.
        finished: whether results go out; else keys.
    """
    group = order.group(facts)
    size = group * EACH
    through = finished and order.placed and order.values
    memories = [Memory("x", order.element)] if fresh or through else []
    memories += [] if fresh else order.unsorted()
    memories += order.results(finished)
    key = "key_of(x[from])" if fresh else "from_keys[from]"
    place = "at" if fresh else "from_places[from]"
    load = f"keys[s] = there ? {key} : ~({order.key})0;"
    if order.placed:
        load += f" places[s] = there ? {place} : 0;"
    body = f"""\
{_local(order, size)}{_private(order)}\
  for (int e = 0; e < {EACH}; e++) {{
    const int s = e * {group} + lid;
{_tile_place(size)}\
    const int at = (tile << bits) + inside;
    const bool there = unit < units && at < n;
    const int from = row * n + at;
    {load}
  }}
  barrier(CLK_LOCAL_MEM_FENCE);
{_take(order)}{_sort_few(order)}{_put(order)}\
  for (int width = {EACH}; width < (1 << bits); width *= 2) {{
    const int a0 = (lid * {EACH}) & ~(2 * width - 1), b0 = a0 + width;
    const int an = width < kept ? width : kept, bn = an;
    const int diagonal = lid * {EACH} - a0;
    if (diagonal < kept) {{
{_merge(order, size)}\
    }}
    barrier(CLK_LOCAL_MEM_FENCE);
{_put(order, "    ")}\
  }}
  for (int e = 0; e < {EACH}; e++) {{
    const int s = e * {group} + lid;
{_tile_place(size)}\
    const int at = tile * kept + inside, o = row * result + at;
    if (unit < units && inside < kept && at < result) {{ {order.store(finished)} }}
  }}
"""
    scalars = ("units", "tiles", "n", "bits", "kept", "result", "length")
    return kernel(
        "sort_tiles",
        memories,
        [f"int {name}" for name in scalars],
        group,
        body,
        functions=order.functions(),
        local_bytes=size * order.item_bytes,
    )


@cache
def merge_source(facts: Facts, order: Order, *, finished: bool) -> TypedSource:
    """Merge pairs of neighbouring runs of rows; a work-group writes one tile.

    Memories: the elements (if values follow places), keys and places, results.
    Scalars: elements of a row, elements of a run, tiles of a row of the result,
    elements of a row of the result.
    """
    group = order.group(facts)
    size = group * EACH
    through = finished and order.placed and order.values
    memories = [Memory("x", order.element)] if through else []
    memories += [*order.unsorted(), *order.results(finished)]
    places = "\n      places[s] = from_places[from];" if order.placed else ""
    first, second = "from_keys[a_row + {}]", "from_keys[b_row + {}]"
    body = f"""\
{_local(order, size)}  __local int split[2];
{_private(order)}\
  const int row = group / tiles, start = (group - row * tiles) * {size};
  const int run = start / (2 * width) * (2 * width), rest = length - run;
  const int an0 = rest < width ? rest : width;
  const int bn0 = rest - an0 < width ? rest - an0 : width;
  const int a_row = row * length + run, b_row = a_row + an0;
  const int begin = start - run, full = an0 + bn0;
  const int end = begin + {size} < full ? begin + {size} : full;
  for (int q = lid; q < 2; q += {group}) {{
    const int an = an0, bn = bn0, diagonal = q == 0 ? begin : end;
{_search(first, second)}\
    split[q] = low;
  }}
  barrier(CLK_LOCAL_MEM_FENCE);
  const int a_from = split[0], an = split[1] - a_from;
  const int total = end - begin, bn = total - an, a0 = 0, b0 = an;
  for (int e = 0; e < {EACH}; e++) {{
    const int s = e * {group} + lid;
    if (s < total) {{
      const int from =
          s < an ? a_row + a_from + s : b_row + (begin - a_from) + (s - an);
      keys[s] = from_keys[from];{places}
    }}
  }}
  barrier(CLK_LOCAL_MEM_FENCE);
  const int diagonal = lid * {EACH};
{_merge(order, size)}\
  barrier(CLK_LOCAL_MEM_FENCE);
{_put(order)}\
  for (int e = 0; e < {EACH}; e++) {{
    const int s = e * {group} + lid, at = start + s, o = row * result + at;
    if (s < total && at < result) {{ {order.store(finished)} }}
  }}
"""
    return kernel(
        "merge_tiles",
        memories,
        ["int length", "int width", "int tiles", "int result"],
        group,
        body,
        functions=order.functions(),
        local_bytes=size * order.item_bytes + 8,
    )
