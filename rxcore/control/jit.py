"""jit: compile a pure function once for each combination of argument types."""

from __future__ import annotations

import functools
import inspect as inspection
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from attrs import define, field, frozen

from rxcore.base import config, dtypes, errors, timeline, tree
from rxcore.base.collector import paused
from rxcore.base.frames import hides_frames
from rxcore.base.lazy import LazyModule
from rxcore.control.find_nans import find_nans
from rxcore.control.inspection import Inspection
from rxcore.ir.graph import Graph
from rxcore.ir.primitive import Calls, NoRule, Primitive
from rxcore.ir.types import Type
from rxcore.ops.families import Linear
from rxcore.runtime.array import Array, from_host
from rxcore.runtime.devices import Target, calibrators, canonical, watchers
from rxcore.runtime.placement import Placed, place, run_at, waits
from rxcore.runtime.program import Program, clearers
from rxcore.runtime.variants import Variants, variants_of
from rxcore.trace.bind import as_numeric
from rxcore.trace.capture import capture
from rxcore.trace.source import here
from rxcore.trace.tracer import Tracer, current
from rxcore.transforms.arguments import Flattened, numeric_leaves
from rxcore.transforms.graphs import batched, linearized, transposed
from rxcore.transforms.vmap import talks_across
from rxcore_kernels import engine
from rxcore_kernels.opencl_fault import DeviceFault

__all__ = ["call", "inspect", "jit"]


calibration = LazyModule("rxcore.control.calibration")
calibrators.append(lambda target, profile: calibration.quickly(target, profile))


# The op that a jitted function is inside another trace ------------------------------


def _infer(*types: Type, graph: Graph, **_: Any) -> tuple[Type, ...]:
    del types
    return graph.out_types


def _jvp(primals: Any, tangents: Any, *, graph: Graph, **rest: Any) -> Any:
    wanted = [t is not None for t in tangents]
    made = linearized(graph, wanted)
    outs = call.bind(*primals, *made.primal_constants, graph=made.primal, **rest)
    count = len(graph.outputs)
    moving = [t for t in tangents if t is not None]
    dots = iter(call.bind(*moving, *outs[count:], graph=made.linear, **rest))
    return outs[:count], tuple(next(dots) if m else None for m in made.moving)


def _transpose(cts: Any, *operands: Any, graph: Graph, **rest: Any) -> Any:
    linear = [isinstance(o, Linear) for o in operands]
    made = transposed(graph, linear, [c is not None for c in cts])
    others = [o for o in operands if not isinstance(o, Linear)]
    given = [c for c in cts if c is not None]
    outs = call.bind(*others, *given, *made.constants, graph=made.graph, **rest)
    found, present = iter(outs), iter(made.present)
    return [next(found) if flag and next(present) else None for flag in linear]


def _batch(args: Any, dims: Any, *, graph: Graph, **rest: Any) -> Any:
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    made = batched(graph, dims, size)
    outs = call.bind(*args, *made.constants, graph=made.graph, **rest)
    return outs, made.dims


# Besides the Graph it has the function's name, and where the user wants it to run.
call: Primitive = Primitive(
    name="call",
    family="control",
    infer=_infer,
    lower=Calls(),
    reference=NoRule("a jitted call runs compiled"),
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    samples=NoRule("drawn by the tests of transforms"),
    multiple=True,
    document="Apply a Graph: a jitted function inside another trace.",
)


# Entries ----------------------------------------------------------------------------


@define(eq=False)
class Entry:
    """A function captured for one combination of argument types."""

    graph: Graph
    constants: tuple[Any, ...]
    flattened: Flattened
    name: str
    collective: bool
    variants: Variants = field(init=False)

    @variants.default
    def _variants(self) -> Variants:
        return variants_of(self.graph)

    def compiled(self) -> Program:
        """Return the program for the CPU, compiled on first use."""
        return self.variants.cpu


@frozen
class Statics:
    """Which arguments are static or donated."""

    static: frozenset[int]
    names: frozenset[str]
    donated: frozenset[int]
    donated_names: frozenset[str]


def _numbers(
    given: int | Sequence[int], count: int | None, what: str
) -> frozenset[int]:
    found = (given,) if isinstance(given, int) else tuple(given)
    for k in found:
        if not isinstance(k, int):
            raise errors.UserError(f"jit: {what} must be ints, got {k!r}")
        if count is not None and not -count <= k < count:
            raise errors.ShapeError(
                f"jit: {what}={given} names argument {k}, but the call has {count}"
                " positional arguments"
            )
    return frozenset(k % count if count is not None else k for k in found)


def _names(given: str | Sequence[str]) -> frozenset[str]:
    return frozenset((given,) if isinstance(given, str) else given)


def leaf_of(x: Any) -> Any:
    """Return an argument's leaf as an Array; ndarrays are read in place."""
    if isinstance(x, np.ndarray) and x.flags.c_contiguous and x.dtype.isnative:
        return Array.of_host(Type(dtypes.as_dtype(x.dtype), x.shape), x)
    return as_numeric(x)


def jit(
    fun: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    donate_argnums: int | Sequence[int] = (),
    donate_argnames: str | Sequence[str] = (),
    device: str | None = None,
) -> Any:
    """Compile a pure function once for each combination of argument types.

    **Meaning**: `jit(f)(*args) == f(*args)`, with everything between arguments and
    results fused into few kernels.

    Args:
        fun: takes and returns pytrees of arrays; without it, a decorator.
        static_argnums: positional arguments that are Python values: hashable, and a
            new value compiles anew.
        static_argnames: the same for keyword arguments.
        donate_argnums: positional arguments whose arrays are given away: their
            memory is free for other use, and using them again raises.
        donate_argnames: the same for keyword arguments.
        device: where every call runs, a name of `rx.devices()`; without it, where the
            cost model expects the result first. Arguments are moved there. Gradients
            and batches of the function run there too; inside another jitted function
            it runs where that one does.

    Returns:
        The compiled function, with `.lower(*args)` and `.inspect(*args)`.

    Raises:
        TraceError: when the function needs a traced value's number, or leaks one.
        TreeError: when an argument's or result's leaf is no array.
        DeviceError: when there is no such device.

    Example:
        >>> import rxcore as rx
        >>> rx.jit(lambda x: x * 2 + 1)(rx.asarray([1.0, 2.0]))
        Array([3., 5.], dtype=float32)
    """
    if fun is None:
        return functools.partial(
            jit,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            donate_argnums=donate_argnums,
            donate_argnames=donate_argnames,
            device=device,
        )
    if not callable(fun):
        raise errors.UserError(f"jit: expected a function, got {fun!r}")
    return _Jitted(
        fun,
        Statics(
            _numbers(static_argnums, None, "static_argnums"),
            _names(static_argnames),
            _numbers(donate_argnums, None, "donate_argnums"),
            _names(donate_argnames),
        ),
        None if device is None else canonical(device, "jit"),
    ).wrapper()


def _positional(function: Callable[..., Any]) -> tuple[str, ...] | None:
    """Return the names of positional parameters, or None if there may be others."""
    try:
        parameters = inspection.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    kinds = (
        inspection.Parameter.POSITIONAL_ONLY,
        inspection.Parameter.POSITIONAL_OR_KEYWORD,
    )
    return tuple(p.name for p in parameters if p.kind in kinds)


class _Jitted:
    """The state behind one jitted function."""

    def __init__(
        self, function: Callable[..., Any], statics: Statics, device: str | None
    ) -> None:
        self.function = function
        self.statics = statics
        self.device = device
        self.name = getattr(function, "__name__", type(function).__name__)
        self.positional = _positional(function)
        self.entries: dict[Any, Entry] = {}
        self.fast: dict[Any, Any] = {}
        self.trees: dict[Any, Any] = {}
        self.placed: dict[Any, Any] = {}
        clearers.append(self.clear)
        watchers.append(self.reconsider)

    def clear(self) -> None:
        """Forget what was compiled."""
        self.entries.clear()
        self.fast.clear()
        self.trees.clear()
        self.placed.clear()

    def reconsider(self, target: Target) -> None:
        """Place calls anew: a device was found."""
        if not target.is_cpu:
            self.fast.clear()
            self.trees.clear()

    def wrapper(self) -> Any:
        """Return the function that users call: one dictionary hit, one native call.

        Arguments that are pytrees of Arrays are flattened once more before that.
        """
        fast, slow, unusual = self.fast, self.slow, config.unusual
        run, trees, flatten = engine.run, self.trees, tree.flatten

        @functools.wraps(self.function)
        def jitted(*args: Any, **kwargs: Any) -> Any:
            if kwargs or unusual:
                return slow(args, kwargs)
            try:
                handle, extra, build = fast[tuple([a.type for a in args])]
                buffers = [a.buffer for a in args]
            except (KeyError, AttributeError):
                buffers = None
            # Not in the handler: an error of the slow path has no other as context.
            if buffers is None and trees:
                leaves, treedef = flatten(args)
                try:
                    key = treedef, tuple([x.type for x in leaves])
                    handle, extra, build = trees[key]
                    buffers = [x.buffer for x in leaves]
                except (KeyError, AttributeError):
                    buffers = None
            if buffers is None:
                return slow(args, kwargs)
            return build(run(handle, *buffers, *extra))

        made: Any = jitted
        made.lower = self.lower
        made.placed_entry = self.placed_entry
        made.device_asked = self.device
        made.inspect = self.lower
        made.clear_cache = self.clear
        made.__wrapped__ = self.function
        return made

    # The slow path: pytrees, tracers, numbers, first calls --------------------------

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Separate static arguments from the pytree of dynamic ones."""
        s = self.statics
        numbers, also = self.chosen(s.static, args, "static_argnums")
        names = s.names | also
        fixed = {k: args[k] for k in sorted(numbers)}
        named = {k: v for k, v in kwargs.items() if k in names}
        for value in (*fixed.values(), *named.values()):
            try:
                hash(value)
            except TypeError as error:
                raise errors.UserError(
                    f"jit: the static argument {value!r} of {self.name} is not"
                    " hashable; use a tuple in place of a list, or do not make it"
                    " static"
                ) from error
        dynamic = tuple(a for k, a in enumerate(args) if k not in numbers)
        loose = {k: v for k, v in kwargs.items() if k not in names}
        return fixed, named, dynamic, loose

    def chosen(
        self, given: frozenset[int], args: tuple[Any, ...], what: str
    ) -> tuple[frozenset[int], frozenset[str]]:
        """Return which arguments numbers choose: by position, and by name.

        A parameter that is chosen may be left to its default, or given by name.
        """
        names = self.positional
        if not given or names is None:
            return _numbers(tuple(given), len(args), what), frozenset()
        every = {k + len(names) if k < 0 else k for k in given}
        absent = {k for k in every if len(args) <= k < len(names)}
        here = _numbers(tuple(sorted(every - absent)), len(args), what)
        return here, frozenset(names[k] for k in every if 0 <= k < len(names))

    def entry(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Entry | None, list[Any], Callable[[], Entry]]:
        """Return what was captured for such arguments, their leaves, and a capture."""
        fixed, named, dynamic, loose = self.split(args, kwargs)
        raw, treedef = tree.flatten((dynamic, loose))
        try:
            leaves = [leaf_of(x) for x in raw]
        except (errors.TreeError, errors.DTypeError):
            call = f"jit({self.name})"
            leaves = numeric_leaves(dynamic, f"{call} (arguments)")[0]
            leaves += numeric_leaves(loose, f"{call} (keyword arguments)")[0]
        types = tuple([x.type for x in leaves])
        key = (
            treedef,
            # 1, 1.0 and True are equal, and yet other programs.
            tuple((k, type(v), v) for k, v in fixed.items()),
            tuple((k, type(named[k]), named[k]) for k in sorted(named)),
            types,
            config.current(),
        )

        def make() -> Entry:
            made = self.capture(fixed, named, treedef, types)
            if not any(isinstance(c, Tracer) for c in made.constants):
                self.entries[key] = made
            return made

        return self.entries.get(key), leaves, make

    def capture(self, fixed: Any, named: Any, treedef: Any, types: Any) -> Entry:
        """Trace the function for argument types."""
        function, count = self.function, len(fixed)

        def whole(dynamic: Any, loose: Any) -> Any:
            rest = iter(dynamic)
            total = len(dynamic) + count
            args = [fixed[k] if k in fixed else next(rest) for k in range(total)]
            return function(*args, **loose, **named)

        flattened = Flattened(whole, treedef, f"jit({self.name})")
        made = capture(flattened, types, f"rx.jit({self.name})")
        collective = talks_across(made.graph)
        return Entry(made.graph, made.constants, flattened, self.name, collective)

    @hides_frames
    def slow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run with full generality."""
        if not timeline.active:
            return self.general(args, kwargs)
        kind = "call" if current().parent is None else "trace"
        with timeline.span(kind, self.name, source=here()):
            return self.general(args, kwargs)

    def general(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a call, whatever its arguments are."""
        if self.placed and not kwargs and not config.unusual:
            found = self.placed.get(_places(args))
            if found is not None:
                return found(args)
        if config.current().disable_jit:
            return self.function(*args, **kwargs)
        entry, leaves, make = self.entry(args, kwargs)
        if entry is not None:
            return self.run(entry, leaves, args, kwargs)
        # Capture and compilation make many objects that live long: no collection.
        with paused():
            return self.run(make(), leaves, args, kwargs)

    def run(self, entry: Entry, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        """Run what was captured, or apply it in the transform that is running."""
        operands = [*leaves, *entry.constants]
        if entry.collective or any(isinstance(x, Tracer) for x in operands):
            operands = [_copied(x) if _is_borrowed(x) else x for x in operands]
            rest = {} if self.device is None else {"device": self.device}
            outs = call.bind(*operands, graph=entry.graph, name=self.name, **rest)
            return entry.flattened.result(outs)
        with timeline.span("choice", self.name) as told:
            placed = place(entry.variants, operands, self.device)
            told.note(device=str(placed.target or "cpu"), reason=placed.reason)
        outs, where = run_at(entry.variants, placed, operands)
        outs = _owned(entry.variants.aliases, outs, operands)
        if config.current().debug_nans:
            find_nans(entry.graph, operands, outs)
        if placed.settled and where is placed.target and not waits(entry.variants):
            self.remember(args, kwargs, entry, placed)
        self.donate(args, kwargs)
        return entry.flattened.result(outs)

    def remember(self, args: Any, kwargs: Any, entry: Entry, placed: Placed) -> None:
        """Let the next call with Arrays of these types take a short path."""
        s = self.statics
        plain = not kwargs and not s.static and not s.donated and not config.unusual
        if not plain:
            return
        leaves, treedef = tree.flatten(args)
        if any(type(x) is not Array for x in leaves):
            return
        alone = all(type(a) is Array for a in args)
        if placed.target is not None:
            if alone:
                self.placed[_places(args)] = _on_device(entry, placed)
            return
        program = entry.compiled()
        extra = tuple(c.ensure_buffer() for c in entry.constants)
        types = tuple([x.type for x in leaves])
        build = _builder(entry.flattened, program.out_types)
        found = (program.native.handle, extra, build)
        if alone:
            self.fast[types] = found
        else:
            self.trees[treedef, types] = found

    def donate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Invalidate donated arguments."""
        s = self.statics
        if not s.donated and not s.donated_names:
            return
        numbers, also = self.chosen(s.donated, args, "donate_argnums")
        given = [args[k] for k in numbers]
        given += [v for k, v in kwargs.items() if k in s.donated_names | also]
        for x in tree.leaves(given):
            if isinstance(x, Array):
                x.donate()

    def placed_entry(self, *args: Any, **kwargs: Any) -> tuple[Entry, list[Any]]:
        """Return what was captured for such arguments, and their leaves."""
        entry, leaves, make = self.entry(args, kwargs)
        return entry or make(), leaves

    def lower(self, *args: Any, **kwargs: Any) -> Inspection:
        """Compile for these arguments without running; return what was made."""
        entry, _, make = self.entry(args, kwargs)
        with paused():
            made = entry or make()
            device = self.device or config.current().default_device or "cpu"
            if device == "cpu":
                made.compiled()
            return Inspection(made.variants, device)


def _places(args: Sequence[Any]) -> Any:
    """Return what tells calls on devices apart: types, and where arguments are."""
    try:
        return tuple([(a.type, a.home) for a in args])
    except AttributeError:
        return None


def _on_device(entry: Entry, placed: Placed) -> Callable[..., Any]:
    """Return what runs calls whose device is known, as directly as can be.

    Whatever is not as usual (an argument that is elsewhere, a fault, a profile) is
    left to `run_at`.
    """
    variants, constants, flattened = entry.variants, entry.constants, entry.flattened
    single = flattened.out_tree.is_leaf() and len(variants.graph.outputs) == 1
    target, out_types = placed.target, variants.graph.out_types
    assert target is not None
    launch, device = variants.program(target).run, target.device
    wrap, free = Array.on_device, placed.chosen

    def run(args: tuple[Any, ...]) -> Any:
        operands, tried = [*args, *constants], None
        try:
            buffers = [a._replicas[target] for a in operands]
        except (AttributeError, KeyError):
            buffers = None
        if buffers is not None and not (timeline.active or target.fault):
            try:
                with device.lock:  # another one after a fork
                    results = launch(buffers)
            except DeviceFault as fault:
                tried = fault
            else:
                outs = list(map(wrap, out_types, repeat(target), results))
                if free:
                    for a in outs:
                        a._free = True
                return outs[0] if single else flattened.result(outs)
        outs, where = run_at(variants, placed, operands, tried)
        if where is None:
            outs = _owned(variants.aliases, outs, operands)
        return outs[0] if single else flattened.result(outs)

    return run


def _is_borrowed(x: Any) -> bool:
    """Say whether an operand is the caller's own ndarray, which may change later."""
    return isinstance(x, Array) and x.is_borrowed


def _copied(x: Array) -> Array:
    return from_host(x.host.copy(), x.type)


def _owned(
    aliases: Sequence[int], outs: list[Array], operands: Sequence[Array]
) -> list[Array]:
    """Copy those outputs that are the caller's own ndarrays."""
    return [
        _copied(o) if k >= 0 and o.home is None and operands[k].is_borrowed else o
        for o, k in zip(outs, aliases, strict=True)
    ]


def _builder(flattened: Flattened, types: tuple[Type, ...]) -> Callable[..., Any]:
    """Return what turns a program's buffers into the result."""
    treedef = flattened.out_tree
    if treedef.is_leaf() and len(types) == 1:
        (only,) = types

        def single(buffers: Any) -> Any:
            return Array(only, buffers[0])

        return single

    def several(buffers: Any) -> Any:
        return tree.unflatten(treedef, map(Array, types, buffers))

    return several


def inspect(fun: Callable[..., Any], **options: Any) -> Callable[..., Inspection]:
    """Compile a function (plain or jitted) and return what was made, without running.

    Args:
        fun: what to look at.
        **options: as for `jit`.

    Returns:
        A function of the same arguments that returns an `Inspection`.

    Example:
        >>> import rxcore as rx
        >>> rx.inspect(lambda x: x * 2 + 1)(rx.asarray([1.0])).launches
        1
    """
    made = fun if hasattr(fun, "lower") else jit(fun, **options)
    return made.lower  # type: ignore[no-any-return]
