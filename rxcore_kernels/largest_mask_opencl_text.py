"""OpenCL C of finding the k-th largest key by its digits, and of marking.

A histogram of the highest digit says which digit the k-th largest key has, a histogram
of the next digit among the keys that share it says the next one, and so on. What is
known of a row stands in two memories: its digits so far (`levels`), and how many keys
with these digits are wanted (`wants`).
"""

from __future__ import annotations

from functools import cache

from attrs import frozen

from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import Memory, TypedSource, group_size, kernel
from rxcore_kernels.sort_opencl_text import Order

__all__ = [
    "DIGITS",
    "Keyed",
    "change_source",
    "choose_source",
    "count_source",
    "mark_source",
]

DIGITS = 256
"""Buckets of a histogram."""

EACH = 32
"""Elements of a tile for each work-item."""

_LARGEST_GROUP = 128


@frozen
class Keyed:
    """What is compared.

    Args:
        dtype: NumPy's name of the dtype of the elements.
        form: "value": elements. "active": magnitudes of elements with a mark, the
            others below them. "free": magnitudes of elements without one.
    """

    dtype: str
    form: str = "value"

    @property
    def order(self) -> Order:
        """How elements become keys."""
        return Order(self.dtype, placed=True)

    @property
    def width(self) -> int:
        """Bits of a key, a whole number of digits."""
        return self.order.kind.width

    def group(self, facts: Facts) -> int:
        """Return the work-items of a work-group."""
        # A few small arrays stand beside the histogram.
        room = max(1, (facts.local_bytes - 4 * DIGITS) // 8)
        return min(group_size(facts, _LARGEST_GROUP), 1 << (room.bit_length() - 1))

    def tile(self, facts: Facts) -> int:
        """Return the elements that a work-group looks at."""
        return self.group(facts) * EACH

    def memories(self) -> list[Memory]:
        """Return what keys are made of."""
        found = [Memory("x", self.order.element)]
        return found if self.form == "value" else [*found, Memory("marked", "uchar")]

    def functions(self) -> str:
        """Return the C function from elements' bits to keys."""
        order = self.order
        if self.form == "value":
            return order.functions()
        kind, key = order.kind, order.key
        suffix = "ul" if kind.width == 64 else "u"
        return f"""\
static inline {key} key_of({order.element} bits) {{
  {key} size = ({key})bits & {(1 << (kind.width - 1)) - 1}{suffix};
  return (size > {kind.infinity}{suffix} ? {kind.infinity + 1}{suffix} : size) + 1;
}}
"""

    @property
    def at(self) -> str:
        """The key of the element at place `i`."""
        made = "key_of(x[i])"
        if self.form == "value":
            return made
        return (
            f"marked[i] ? {made} : 0"
            if self.form == "active"
            else (f"marked[i] ? 0 : {made}")
        )

    @property
    def wanted(self) -> str:
        """How many keys of row `row` are wanted, from the memory `counts`."""
        if self.form == "value":
            return "counts[row]"
        keep = "(counts[2 * row] - counts[2 * row + 1])"
        return keep if self.form == "active" else "counts[2 * row + 1]"

    @property
    def name(self) -> str:
        """A suffix for symbols."""
        return f"{self.form}_{self.dtype}"


@cache
def count_source(facts: Facts, keyed: Keyed, *, first: bool) -> TypedSource:
    """Write the kernel that counts a tile's keys by a digit.

    Only keys with the digits known so far are counted. Groups: tiles of all rows.

    Args:
        facts: the device.
        keyed: what is compared.
        first: whether the digit is the first, so that nothing is known.
    """
    group, tile, key = keyed.group(facts), keyed.tile(facts), keyed.order.key
    level = "" if first else f"  const {key} level = ({key})levels[row];\n"
    fits = "" if first else "if (((k ^ level) >> shift >> 8) == 0) "
    body = f"""\
  __local int found[{DIGITS}];
  for (int b = lid; b < {DIGITS}; b += {group}) found[b] = 0;
  barrier(CLK_LOCAL_MEM_FENCE);
  const int row = group / tiles, start = (group - row * tiles) * {tile};
{level}  for (int j = start + lid; j < start + {tile} && j < n; j += {group}) {{
    const int i = row * n + j;
    const {key} k = {keyed.at};
    {fits}atomic_add(&found[(int)(k >> shift) & {DIGITS - 1}], 1);
  }}
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int b = lid; b < {DIGITS}; b += {group})
    histograms[group * {DIGITS} + b] = found[b];
"""
    known = [] if first else [Memory("levels", "ulong")]
    return kernel(
        f"largest_count_{'first' if first else 'next'}_{keyed.name}",
        [*keyed.memories(), *known, Memory("histograms", "int", True)],
        ("int n", "int tiles", "int shift"),
        group,
        body,
        functions=keyed.functions(),
        local_bytes=4 * DIGITS,
    )


@cache
def choose_source(facts: Facts, keyed: Keyed, *, first: bool) -> TypedSource:
    """Write the kernel that finds the next digit of each row. Groups: rows.

    Args:
        facts: the device.
        keyed: what is compared.
        first: whether the digit is the first, and so the number wanted is given.
    """
    group = keyed.group(facts)
    before = "const int want = wants[row]"
    if first:
        before = f"const int asked = {keyed.wanted}, least = asked < 0 ? 0 : asked;\n"
        before += "    const int want = least > n ? n : least"
    known = "0" if first else "levels[row]"
    body = f"""\
  __local int total[{DIGITS}];
  const int row = group;
  for (int b = lid; b < {DIGITS}; b += {group}) {{
    int sum = 0;
    for (int t = 0; t < tiles; t++) sum += histograms[(row * tiles + t) * {DIGITS} + b];
    total[b] = sum;
  }}
  barrier(CLK_LOCAL_MEM_FENCE);
  if (lid == 0) {{
    {before};
    int left = want, b = {DIGITS - 1};
    while (b > 0 && total[b] < left) left -= total[b--];
    levels[row] = {known} | ((ulong)b << shift);
    wants[row] = left;
  }}
"""
    given = [Memory("counts", "int")] if first else []
    memories = [
        *given,
        Memory("histograms", "int"),
        Memory("levels", "ulong", True),
        Memory("wants", "int", True),
    ]
    return kernel(
        f"largest_choose_{keyed.form if first else 'next'}",
        memories,
        ("int n", "int tiles", "int shift"),
        group,
        body,
        local_bytes=4 * DIGITS,
    )


@cache
def mark_source(facts: Facts, keyed: Keyed) -> TypedSource:
    """Write the kernel that marks a tile's elements. Groups: tiles of all rows.

    The last histograms say how many keys at the level the tiles before have.
    """
    group, tile, key = keyed.group(facts), keyed.tile(facts), keyed.order.key
    body = f"""\
  __local int held[{group}];
  const int row = group / tiles, number = group - row * tiles;
  const {key} level = ({key})levels[row];
  const int digit = (int)level & {DIGITS - 1};
  int earlier = 0;
  for (int t = lid; t < number; t += {group})
    earlier += histograms[(row * tiles + t) * {DIGITS} + digit];
  held[lid] = earlier;
  barrier(CLK_LOCAL_MEM_FENCE);
  int rank = 0;
  for (int t = 0; t < {group}; t++) rank += held[t];
  barrier(CLK_LOCAL_MEM_FENCE);
  const int first = number * {tile} + lid * {EACH};
  const int last = first + {EACH} < n ? first + {EACH} : n;
  int there = 0;
  for (int j = first; j < last; j++) {{
    const int i = row * n + j;
    const {key} k = {keyed.at};
    there += k == level ? 1 : 0;
  }}
  held[lid] = there;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int t = 0; t < lid; t++) rank += held[t];
  const int want = wants[row];
  for (int j = first; j < last; j++) {{
    const int i = row * n + j;
    const {key} k = {keyed.at};
    marks[i] = k > level || (k == level && rank < want) ? 1 : 0;
    rank += k == level ? 1 : 0;
  }}
"""
    memories = [
        *keyed.memories(),
        Memory("histograms", "int"),
        Memory("levels", "ulong"),
        Memory("wants", "int"),
        Memory("marks", "uchar", True),
    ]
    return kernel(
        f"largest_mark_{keyed.name}",
        memories,
        ("int n", "int tiles"),
        group,
        body,
        functions=keyed.functions(),
        local_bytes=4 * group,
    )


@cache
def change_source(facts: Facts, dtype: str) -> TypedSource:
    """Write the kernel that joins what is kept and grown, and writes weights."""
    element, group = Order(dtype, placed=True).element, group_size(facts, 256)
    body = f"""\
  const int i = group * {group} + lid;
  if (i < n) {{
    const uchar new_mark = kept[i] | marks[i];
    marks[i] = new_mark;
    out[i] = new_mark && mask[i] ? w[i] : ({element})0;
  }}
"""
    memories = [
        Memory("w", element),
        Memory("mask", "uchar"),
        Memory("kept", "uchar"),
        Memory("marks", "uchar", True),
        Memory("out", element, True),
    ]
    return kernel(f"rigl_change_{dtype}", memories, ("int n",), group, body)
