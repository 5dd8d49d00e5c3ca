"""Random bits on an OpenCL device: threefry2x32 with 20 rounds.

The block of element i of a stream has the counter (i >> 32, i & 0xffffffff).

Paper: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from rxcore_kernels.launch import In, LaunchPlan, Out
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_writer import (
    LIMIT,
    Launches,
    Memory,
    TypedSource,
    group_size,
    kernel,
)

__all__ = ["launch_random_bits", "launch_threefry"]

WIDTHS = {8: "uchar", 16: "ushort", 32: "uint", 64: "ulong"}

OPERATIONS = 120
"""Integer operations of an element: 20 rounds of 5, 19 for the key, one to join."""

_GROUP = 64
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_OPERANDS = ("key0", "key1", "counter0", "counter1")


def _rounds() -> str:
    """Return statements that turn a counter `a`, `b` into a block: key `k0`, `k1`."""
    schedule = ("k0", "k1", "k2")
    lines = ["const uint k2 = k0 ^ k1 ^ 0x1bd11bdau;", "a += k0; b += k1;"]
    for group in range(5):
        lines += [
            f"a += b; b = ((b << {by}) | (b >> {32 - by})) ^ a;"
            for by in _ROTATIONS[group % 2]
        ]
        first, second = schedule[(group + 1) % 3], schedule[(group + 2) % 3]
        lines.append(f"a += {first}; b += {second} + {group + 1}u;")
    return "".join(f"    {line}\n" for line in lines)


def _joined(width: int) -> str:
    return "((ulong)a << 32) | b" if width == 64 else f"({WIDTHS[width]})(a ^ b)"


@cache
def _hash_source(facts: Facts, single: tuple[bool, ...], width: int) -> TypedSource:
    group = group_size(facts, _GROUP)
    names = ("k0", "k1", "a", "b")
    reads = "".join(
        f"    {'uint' if name in 'ab' else 'const uint'} {name} ="
        f" {operand}[{'0' if one else 'i'}];\n"
        for name, operand, one in zip(names, _OPERANDS, single, strict=True)
    )
    body = f"""\
  const int i = group * {group} + lid;
  if (i < n) {{
{reads}{_rounds()}\
    out[i] = {_joined(width)};
  }}
"""
    memories = [Memory(name, "uint") for name in _OPERANDS]
    memories.append(Memory("out", WIDTHS[width], True))
    return kernel("threefry", memories, ["int n"], group, body)


@cache
def _stream_source(facts: Facts, width: int, *, one: bool) -> TypedSource:
    # Without a division this is vectorized where work-items are lanes.
    group = group_size(facts, _GROUP)
    body = f"""\
  const int i = group * {group} + lid;
  if (i < n) {{
    const int key = {"0" if one else "i / size"};
    const uint k0 = keys[2 * key], k1 = keys[2 * key + 1];
    uint a = 0, b = (uint)(i - key * size);
{_rounds()}\
    out[i] = {_joined(width)};
  }}
"""
    memories = [Memory("keys", "uint"), Memory("out", WIDTHS[width], True)]
    return kernel("random_bits", memories, ["int n", "int size"], group, body)


def launch_threefry(
    facts: Facts, size: int, single: Sequence[bool], width: int = 32
) -> LaunchPlan | None:
    """Plan the hashing of keys and counters, element by element.

    **Meaning** (inputs: both words of the key, then of the counter, uint32)::

        word0 << 32 | word1  # width 64
        (word0 ^ word1) % 2**width  # width 8, 16 or 32

    Args:
        facts: the device.
        size: elements of the result.
        single: for each of the four inputs, whether it is one number for all.
        width: bits of a result: 8, 16, 32 or 64.

    Returns:
        The plan, or None where the device has no room.

    Raises:
        ValueError: there is no such width.
    """
    _check("launch_threefry", width)
    made, results = Launches(facts), size * width // 8
    if size > LIMIT:
        return None
    if size:
        typed = _hash_source(facts, tuple(single), width)
        full = sum(not one for one in single)
        made.add(
            typed,
            (In(0), In(1), In(2), In(3), Out(0)),
            (size,),
            -(-size // typed.source.group[0]),
            shape="threefry",
            flops=size * OPERATIONS,
            nbytes=results + full * size * 4,
        )
    return made.plan(results, 0 if all(single) else size * 4)


def launch_random_bits(
    facts: Facts, keys: int, size: int, width: int = 32
) -> LaunchPlan | None:
    """Plan the random bits of keys.

    **Meaning** (input uint32 of shape (keys, 2), output of shape (keys, size))::

        out[k, i] = threefry2x32(key[k, 0], key[k, 1], 0, i, width=width)

    Args:
        facts: the device.
        keys: number of keys.
        size: what each key gives.
        width: bits of an element: 8, 16, 32 or 64.

    Returns:
        The plan, or None where the device has no room.

    Raises:
        ValueError: there is no such width.
    """
    _check("launch_random_bits", width)
    made, count = Launches(facts), keys * size
    if count > LIMIT:
        return None
    if count:
        typed = _stream_source(facts, width, one=keys == 1)
        made.add(
            typed,
            (In(0), Out(0)),
            (count, size),
            -(-count // typed.source.group[0]),
            shape="threefry",
            flops=count * OPERATIONS,
            nbytes=count * width // 8 + keys * 8,
        )
    return made.plan(count * width // 8, keys * 8)


def _check(call: str, width: int) -> None:
    if width not in WIDTHS:
        raise ValueError(f"{call}: width {width} is not one of {tuple(WIDTHS)}")
