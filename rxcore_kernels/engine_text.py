"""LLVM text of the engine: one module, built and cached like any kernel.

Its only exported symbol is a step that takes the addresses of the C functions the
engine calls (so nothing is resolved by a linker, and what a platform lacks is a null
pointer, seen before use) and hands back the addresses of the engine's own functions.

A program is fourteen 64-bit words::

    0 inputs        1 outputs      2 frame words    3 template address
    4 relocations   5 their address (index, slot, byte offset each)
    6 rows of the main table       7 its address
    8 arena bytes   9 flags (1: release Python's lock, 2: has rows cut into pieces)
    10 address of the outputs (bytes, alias each)
    11 words to take for a call: 4 in front of the frame, the frame, the slots
"""

import platform

from rxcore_kernels.pool_text import POOL
from rxcore_kernels.source import QUICK, Source
from rxcore_kernels.steps_text import STEPS
from rxcore_kernels.workers_text import WORKERS

__all__ = ["EXPORTS", "IMPORTS", "engine_source"]

# What the engine calls, in the order of the words it is given.
IMPORTS = (
    "malloc",
    "free",
    "sched_yield",
    "sem_wait",
    "sem_post",
    "PyCapsule_New",
    "PyCapsule_GetPointer",
    "PyCapsule_GetContext",
    "PyCapsule_SetContext",
    "PyErr_CheckSignals",
    "PyErr_Clear",
    "PyErr_Format",
    "PyErr_NoMemory",
    "PyErr_Occurred",
    "PyErr_SetString",
    "PyEval_RestoreThread",
    "PyEval_SaveThread",
    "PyLong_AsSsize_t",
    "PyLong_AsVoidPtr",
    "PyLong_FromLong",
    "PyLong_FromVoidPtr",
    "PyObject_CallFunctionObjArgs",
    "PyObject_IsInstance",
    "PyObject_IsTrue",
    "PyTuple_GetItem",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyTuple_Size",
    "Py_DecRef",
    "Py_IncRef",
    "PyArray_NewFromDescr",
    "PyArray_SetBaseObject",
    "PyArrayDescr_Type",
    "PyArray_Type",
    # Python objects: types, and two functions of ours that the entry calls.
    "TypeError",
    "ValueError",
    "tuple",
    "raise_status",
    "start_workers",
)

# What the engine hands back, in the order of the words it fills.
EXPORTS = (
    "py.run",
    "py.allocate",
    "py.address",
    "py.borrow",
    "py.handle",
    "py.view",
    "pool.trim",
    "pool.stats",
    "pool.lock",
    "step.loop",
    "step.while",
    "step.switch",
    "step.copy",
    "step.fill",
    "step.ticks",
    "crew.worker",
    "crew.close",
    "crew.dismiss",
    "crew.reset",
    "crew.state",
    "crew.workers",
    "crew.sleepers",
    "tune.poll",
    "tune.spin",
    "tune.wake",
    "tune.yield",
)

_ENTRY = r"""
; ------------------------------------------------------------------ entry

; Python: run(handle, input capsule, ...) -> tuple of output capsules
;
; Everything a call needs lies on this stack frame (or in one pool block, where the
; frame is long), so any number of threads may run one program. The buffer stays below
; a page: some systems probe the stack for more, through a function we would not have.
define internal ptr @py.run(ptr %self, ptr %args, i64 %nargs) {
entry:
  %small = alloca [384 x i64], align 64
  %some = icmp sgt i64 %nargs, 0
  br i1 %some, label %handle, label %nohandle
nohandle:
  %r0 = call ptr @arguments.error(ptr @text.run, i64 1, i64 %nargs)
  ret ptr null
handle:
  %get = load ptr, ptr @c.PyCapsule_GetPointer
  %capsule = load ptr, ptr %args
  %program = call ptr @capsule.address(ptr %capsule, ptr @name.program,
      ptr @text.run, i64 1)
  %isprogram = icmp ne ptr %program, null
  br i1 %isprogram, label %count, label %fail
count:
  %inputs = load i64, ptr %program
  %given = sub i64 %nargs, 1
  %matches = icmp eq i64 %given, %inputs
  br i1 %matches, label %space, label %miscounted
miscounted:
  %expected = add i64 %inputs, 1
  %format = load ptr, ptr @c.PyErr_Format
  %typeerror = load ptr, ptr @c.TypeError
  %r1 = call ptr (ptr, ptr, ...) %format(ptr %typeerror, ptr @text.arguments,
      ptr @text.run, i64 %expected, i64 %nargs, ptr @text.inputs)
  ret ptr null
space:
  %outputs.p = getelementptr i64, ptr %program, i64 1
  %outputs = load i64, ptr %outputs.p
  %words.p = getelementptr i64, ptr %program, i64 2
  %nwords = load i64, ptr %words.p
  %total.p = getelementptr i64, ptr %program, i64 11
  %total = load i64, ptr %total.p
  %long = icmp ugt i64 %total, 384
  br i1 %long, label %borrow, label %framed
borrow:
  %bytes = shl i64 %total, 3
  %block = call ptr @pool.allocate(i64 %bytes)
  %lent = icmp ne ptr %block, null
  br i1 %lent, label %framed, label %nospace
nospace:
  %nomemory = load ptr, ptr @c.PyErr_NoMemory
  %r2 = call ptr %nomemory()
  ret ptr null
framed:
  %memory = phi ptr [ %small, %space ], [ %block, %borrow ]
  %frame = getelementptr i64, ptr %memory, i64 4
  %slots = getelementptr i64, ptr %frame, i64 %nwords
  ; ---- addresses of the inputs
  br label %input
input:
  %i = phi i64 [ 0, %framed ], [ %i1, %input.ok ]
  %input.more = icmp slt i64 %i, %inputs
  br i1 %input.more, label %input.get, label %results
input.get:
  %i1 = add i64 %i, 1
  %place = add i64 %i, 2
  %arg.p = getelementptr ptr, ptr %args, i64 %i1
  %arg = load ptr, ptr %arg.p
  %data = call ptr @capsule.address(ptr %arg, ptr @name.buffer, ptr @text.run,
      i64 %place)
  %isbuffer = icmp ne ptr %data, null
  br i1 %isbuffer, label %input.ok, label %close
input.ok:
  %slot = getelementptr ptr, ptr %slots, i64 %i
  store ptr %data, ptr %slot
  br label %input
  ; ---- the result tuple and its blocks
results:
  %new.tuple = load ptr, ptr @c.PyTuple_New
  %tuple = call ptr %new.tuple(i64 %outputs)
  %tuple.ok = icmp ne ptr %tuple, null
  br i1 %tuple.ok, label %out.begin, label %close
out.begin:
  %out.slots = getelementptr i64, ptr %slots, i64 %inputs
  %specs.p = getelementptr i64, ptr %program, i64 10
  %specs = load ptr, ptr %specs.p
  %set.item = load ptr, ptr @c.PyTuple_SetItem
  br label %out
out:
  %o = phi i64 [ 0, %out.begin ], [ %o1, %out.set ]
  %out.more = icmp slt i64 %o, %outputs
  br i1 %out.more, label %out.one, label %arena
out.one:
  %twice = shl i64 %o, 1
  %spec = getelementptr i64, ptr %specs, i64 %twice
  %alias.p = getelementptr i64, ptr %spec, i64 1
  %alias = load i64, ptr %alias.p
  %fresh = icmp slt i64 %alias, 0
  br i1 %fresh, label %out.new, label %out.same
out.same:
  ; A donated input: the same capsule comes back.
  %alias1 = add i64 %alias, 1
  %same.p = getelementptr ptr, ptr %args, i64 %alias1
  %same = load ptr, ptr %same.p
  %incref = load ptr, ptr @c.Py_IncRef
  call void %incref(ptr %same)
  br label %out.set
out.new:
  %nbytes = load i64, ptr %spec
  %made = call ptr @buffer.new(i64 %nbytes)
  %made.ok = icmp ne ptr %made, null
  br i1 %made.ok, label %out.set, label %drop
out.set:
  %out.capsule = phi ptr [ %same, %out.same ], [ %made, %out.new ]
  %out.data = call ptr %get(ptr %out.capsule, ptr @name.buffer)
  %out.slot = getelementptr ptr, ptr %out.slots, i64 %o
  store ptr %out.data, ptr %out.slot
  %r3 = call i32 %set.item(ptr %tuple, i64 %o, ptr %out.capsule)
  %o1 = add i64 %o, 1
  br label %out
  ; ---- one block for all intermediates
arena:
  %end.slots = getelementptr i64, ptr %out.slots, i64 %outputs
  %arena.p = getelementptr i64, ptr %program, i64 8
  %arena.bytes = load i64, ptr %arena.p
  %wants = icmp sgt i64 %arena.bytes, 0
  br i1 %wants, label %arena.take, label %relocate
arena.take:
  %arena.block = call ptr @pool.allocate(i64 %arena.bytes)
  %arena.ok = icmp ne ptr %arena.block, null
  br i1 %arena.ok, label %relocate, label %arena.none
arena.none:
  %nomemory2 = load ptr, ptr @c.PyErr_NoMemory
  %r4 = call ptr %nomemory2()
  br label %drop
  ; ---- template to frame, addresses into it
relocate:
  %arena.data = phi ptr [ null, %arena ], [ %arena.block, %arena.take ]
  store ptr %arena.data, ptr %end.slots
  %frame.slot = getelementptr i64, ptr %end.slots, i64 1
  store ptr %frame, ptr %frame.slot
  %template.p = getelementptr i64, ptr %program, i64 3
  %template = load ptr, ptr %template.p
  %frame.bytes = shl i64 %nwords, 3
  call void @llvm.memcpy.p0.p0.i64(ptr %frame, ptr %template, i64 %frame.bytes,
      i1 false)
  %moves.p = getelementptr i64, ptr %program, i64 4
  %moves = load i64, ptr %moves.p
  %move.list.p = getelementptr i64, ptr %program, i64 5
  %move.list = load ptr, ptr %move.list.p
  br label %move
move:
  %m = phi i64 [ 0, %relocate ], [ %m1, %move.one ]
  %move.more = icmp slt i64 %m, %moves
  br i1 %move.more, label %move.one, label %begin
move.one:
  %thrice = mul i64 %m, 3
  %row = getelementptr i64, ptr %move.list, i64 %thrice
  %index = load i64, ptr %row
  %from.p = getelementptr i64, ptr %row, i64 1
  %from = load i64, ptr %from.p
  %offset.p = getelementptr i64, ptr %row, i64 2
  %offset = load i64, ptr %offset.p
  %base.p = getelementptr i64, ptr %slots, i64 %from
  %base = load ptr, ptr %base.p
  %target = getelementptr i8, ptr %base, i64 %offset
  %word = getelementptr i64, ptr %frame, i64 %index
  store ptr %target, ptr %word
  %m1 = add i64 %m, 1
  br label %move
  ; ---- run
begin:
  %flags.p = getelementptr i64, ptr %program, i64 9
  %flags = load i64, ptr %flags.p
  %parallel = and i64 %flags, 2
  %state = load i64, ptr @crew.state
  %unstarted = xor i64 %state, 1
  %both = and i64 %unstarted, 1
  %wanted = shl i64 %both, 1
  %must = and i64 %parallel, %wanted
  %starts = icmp ne i64 %must, 0
  br i1 %starts, label %start, label %lock, !prof !9
start:
  ; The first parallel program of this process (or of this fork).
  %invoke = load ptr, ptr @c.PyObject_CallFunctionObjArgs
  %starter = load ptr, ptr @c.start_workers
  %started = call ptr (ptr, ...) %invoke(ptr %starter, ptr null)
  %started.ok = icmp ne ptr %started, null
  br i1 %started.ok, label %start.drop, label %arena.free
start.drop:
  %decref0 = load ptr, ptr @c.Py_DecRef
  call void %decref0(ptr %started)
  br label %lock
lock:
  %now = call i64 @ticks()
  %h1 = getelementptr i64, ptr %memory, i64 1
  store i64 16, ptr %h1
  %h2 = getelementptr i64, ptr %memory, i64 2
  store i64 16, ptr %h2
  %h3 = getelementptr i64, ptr %memory, i64 3
  store i64 %now, ptr %h3
  %rows.p = getelementptr i64, ptr %program, i64 6
  %rows = load i64, ptr %rows.p
  %table.p = getelementptr i64, ptr %program, i64 7
  %table = load ptr, ptr %table.p
  %gil = and i64 %flags, 1
  %release = icmp ne i64 %gil, 0
  br i1 %release, label %without, label %with
with:
  store ptr null, ptr %memory
  %s1 = call i32 @walk(ptr %table, i64 %rows, ptr %frame)
  br label %ran
without:
  %save = load ptr, ptr @c.PyEval_SaveThread
  %thread = call ptr %save()
  store ptr %thread, ptr %memory
  %s2 = call i32 @walk(ptr %table, i64 %rows, ptr %frame)
  ; A look at the signals may have stored another thread state.
  %thread2 = load ptr, ptr %memory
  %restore = load ptr, ptr @c.PyEval_RestoreThread
  call void %restore(ptr %thread2)
  br label %ran
ran:
  %status = phi i32 [ %s1, %with ], [ %s2, %without ]
  %ok = icmp eq i32 %status, 0
  br i1 %ok, label %arena.free, label %failed
failed:
  ; After an interrupt the exception is set already; any other status is told to
  ; Python, which raises what a callback kept aside, or an ExecutionError.
  %occurred = load ptr, ptr @c.PyErr_Occurred
  %error = call ptr %occurred()
  %told = icmp ne ptr %error, null
  br i1 %told, label %arena.free, label %tell
tell:
  %box = load ptr, ptr @c.PyLong_FromLong
  %status64 = sext i32 %status to i64
  %number = call ptr %box(i64 %status64)
  %boxed = icmp ne ptr %number, null
  br i1 %boxed, label %raise, label %arena.free
raise:
  %invoke2 = load ptr, ptr @c.PyObject_CallFunctionObjArgs
  %raiser = load ptr, ptr @c.raise_status
  %r5 = call ptr (ptr, ...) %invoke2(ptr %raiser, ptr %number, ptr null)
  %decref1 = load ptr, ptr @c.Py_DecRef
  call void %decref1(ptr %number)
  br label %arena.free
  ; ---- give back what is not a result
arena.free:
  %good = phi i1 [ false, %start ], [ true, %ran ], [ false, %failed ], [ false,
      %tell ], [ false, %raise ]
  %held = icmp ne ptr %arena.data, null
  br i1 %held, label %arena.give, label %judge
arena.give:
  call void @pool.free(ptr %arena.data)
  br label %judge
judge:
  br i1 %good, label %close, label %drop
drop:
  %decref = load ptr, ptr @c.Py_DecRef
  call void %decref(ptr %tuple)
  br label %close
close:
  %result = phi ptr [ null, %input.get ], [ null, %results ], [ %tuple, %judge ],
      [ null, %drop ]
  br i1 %long, label %frame.give, label %leave
frame.give:
  call void @pool.free(ptr %memory)
  br label %leave
leave:
  ret ptr %result
fail:
  ret ptr null
}

; step: words[0] becomes the clock
define internal i32 @step.ticks(ptr %words, i64 %lo, i64 %hi) {
  %now = call i64 @ticks()
  store i64 %now, ptr %words
  ret i32 0
}

declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)
declare i64 @llvm.ctlz.i64(i64, i1)
declare ptr @llvm.ptrmask.p0.i64(ptr, i64)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""

# C strings: names of capsules, names of calls, messages for PyErr_Format.
_STRINGS = {
    "name.buffer": "rxcore.buffer",
    "name.program": "rxcore.program",
    "text.address": "address",
    "text.allocate": "allocate",
    "text.borrow": "borrow",
    "text.handle": "handle",
    "text.run": "run",
    "text.view": "view",
    "text.arguments": "%s: expected %zd arguments, got %zd%s",
    "text.capsule": "%s: expected a capsule of %s as argument %zd, got %.200R",
    "text.descr": "view: expected a NumPy dtype as argument 2",
    "text.inputs": " (a handle and its inputs)",
    "text.negative": "allocate: expected a size of 0 bytes or more, got %zd",
    "text.nothing": "",
    "text.shape": "view: expected a tuple of at most 32 sizes as argument 3",
}

# The clock only measures how long this thread has waited or worked: a cycle counter
# is enough, and reading it is all it may cost.
_CLOCKS = {
    "x86": """
define internal void @pause() alwaysinline {
  call void @llvm.x86.sse2.pause()
  ret void
}
declare void @llvm.x86.sse2.pause()
define internal i64 @ticks() alwaysinline {
  %t = call i64 @llvm.readcyclecounter()
  ret i64 %t
}
declare i64 @llvm.readcyclecounter()
""",
    "aarch64": """
define internal void @pause() alwaysinline {
  call void @llvm.aarch64.hint(i32 1)
  ret void
}
declare void @llvm.aarch64.hint(i32)
declare i64 @llvm.readsteadycounter()
define internal i64 @ticks() alwaysinline {
  %t = call i64 @llvm.readsteadycounter()
  ret i64 %t
}
""",
    # No clock a program may read everywhere: count the reads themselves.
    "other": """
@clock.count = internal global i64 0
define internal void @pause() {
  fence seq_cst
  ret void
}
define internal i64 @ticks() {
  %t = atomicrmw add ptr @clock.count, i64 1000 monotonic
  ret i64 %t
}
""",
}


def machine() -> str:
    """Return which of the clocks this processor has."""
    name = platform.machine().lower()
    if name in {"x86_64", "amd64"}:
        return "x86"
    return "aarch64" if name in {"arm64", "aarch64"} else "other"


def engine_source() -> Source:
    """Return the engine's whole text."""
    symbol = "rxcore_engine"
    slots = "".join(f"@c.{name} = internal global ptr null\n" for name in IMPORTS)
    head = f"define i32 @{symbol}(ptr noalias %words, i64 %lo, i64 %hi)"
    lines = [f"{head} {QUICK} {{"]
    for k, name in enumerate(IMPORTS):
        lines += [
            f"  %p{k} = getelementptr i64, ptr %words, i64 {k}",
            f"  %v{k} = load ptr, ptr %p{k}",
            f"  store ptr %v{k}, ptr @c.{name}",
        ]
    for k, name in enumerate(EXPORTS, len(IMPORTS)):
        lines += [
            f"  %p{k} = getelementptr i64, ptr %words, i64 {k}",
            f"  store ptr @{name}, ptr %p{k}",
        ]
    exchange = "\n".join([*lines, "  ret i32 0", "}", ""])
    strings = "".join(
        f'@{name} = internal constant [{len(text) + 1} x i8] c"{text}\\00"\n'
        for name, text in _STRINGS.items()
    )
    parts = (slots, strings, _CLOCKS[machine()], POOL, WORKERS, STEPS, _ENTRY, exchange)
    return Source("\n".join(parts), symbol)
