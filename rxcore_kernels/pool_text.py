"""LLVM text of the engine's memory half: block pool, capsules, array views.

``@c.NAME`` is the address of a C function, filled in when the engine is loaded.

A block is ``malloc`` memory: a header of 64 bytes in front of 64-byte aligned data::

    data - 64: raw address      what malloc returned
    data - 56: size class       index of its free list
    data - 48: capacity         bytes at data
    data - 40: next             the next free block of its class

Size classes keep the 4 leading bits of a size (8 classes per power of two, at most
12.5 % lost). Freed blocks are kept: the first touch of a fresh page costs 0.5 ns per
byte, ten times what a loop that fills it costs.
"""

__all__ = ["CLASSES", "POOL"]

CLASSES = 352  # (47 - 5) * 8 + 8, rounded up to a multiple of 32

POOL = r"""
; ------------------------------------------------------------------ memory pool
@pool.lists = internal global [352 x ptr] zeroinitializer
@pool.lock = internal global i32 0
@pool.cursor = internal global i64 0
; in use, kept, peak in use, limit of kept, allocations, of them reused
@pool.stats = internal global [6 x i64] zeroinitializer

; A spin lock: it is held for a few loads and stores, and nearly always by the one
; thread that holds Python's global lock.
define internal void @acquire(ptr %lock) {
entry:
  br label %try
try:
  %old = atomicrmw xchg ptr %lock, i32 1 acquire
  %free = icmp eq i32 %old, 0
  br i1 %free, label %done, label %wait
wait:
  call void @pause()
  br label %try
done:
  ret void
}

define internal void @release(ptr %lock) {
  store atomic i32 0, ptr %lock release, align 4
  ret void
}

define internal void @pool.count(i64 %which, i64 %change) {
  %p = getelementptr i64, ptr @pool.stats, i64 %which
  %old = load i64, ptr %p
  %new = add i64 %old, %change
  store i64 %new, ptr %p
  ret void
}

define internal void @pool.used(i64 %capacity) {
  call void @pool.count(i64 0, i64 %capacity)
  call void @pool.count(i64 4, i64 1)
  %now = load i64, ptr @pool.stats
  %peak.p = getelementptr i64, ptr @pool.stats, i64 2
  %peak = load i64, ptr %peak.p
  %max = call i64 @llvm.smax.i64(i64 %now, i64 %peak)
  store i64 %max, ptr %peak.p
  ret void
}

; A block of at least %nbytes, or null. Contents are undefined.
define internal ptr @pool.allocate(i64 %nbytes) {
entry:
  %absurd = icmp ugt i64 %nbytes, 140737488355328
  br i1 %absurd, label %none, label %size
size:
  %atleast = call i64 @llvm.umax.i64(i64 %nbytes, i64 64)
  %up = add i64 %atleast, 63
  %rounded = and i64 %up, -64
  %n1 = sub i64 %rounded, 1
  %zeros = call i64 @llvm.ctlz.i64(i64 %n1, i1 true)
  %e = sub i64 63, %zeros
  %shift = sub i64 %e, 3
  %m = lshr i64 %n1, %shift
  %mplus = add i64 %m, 1
  %capacity = shl i64 %mplus, %shift
  %e5 = sub i64 %e, 5
  %octave = shl i64 %e5, 3
  %within = sub i64 %m, 8
  %class = add i64 %octave, %within
  %list = getelementptr ptr, ptr @pool.lists, i64 %class
  call void @acquire(ptr @pool.lock)
  %head = load ptr, ptr %list
  %empty = icmp eq ptr %head, null
  br i1 %empty, label %fresh, label %reuse
reuse:
  %next.p = getelementptr i8, ptr %head, i64 -40
  %next = load ptr, ptr %next.p
  store ptr %next, ptr %list
  %less = sub i64 0, %capacity
  call void @pool.count(i64 1, i64 %less)
  call void @pool.count(i64 5, i64 1)
  call void @pool.used(i64 %capacity)
  call void @release(ptr @pool.lock)
  ret ptr %head
fresh:
  call void @release(ptr @pool.lock)
  %malloc = load ptr, ptr @c.malloc
  %bytes = add i64 %capacity, 128
  %raw1 = call ptr %malloc(i64 %bytes)
  %failed = icmp eq ptr %raw1, null
  br i1 %failed, label %retry, label %made
retry:
  ; What is kept may be what is missing.
  call void @acquire(ptr @pool.lock)
  call void @pool.shrink(i64 0)
  call void @release(ptr @pool.lock)
  %raw2 = call ptr %malloc(i64 %bytes)
  %failed2 = icmp eq ptr %raw2, null
  br i1 %failed2, label %none, label %made
made:
  %raw = phi ptr [ %raw1, %fresh ], [ %raw2, %retry ]
  %past = getelementptr i8, ptr %raw, i64 127
  %data = call ptr @llvm.ptrmask.p0.i64(ptr %past, i64 -64)
  %h0 = getelementptr i8, ptr %data, i64 -64
  store ptr %raw, ptr %h0
  %h1 = getelementptr i8, ptr %data, i64 -56
  store i64 %class, ptr %h1
  %h2 = getelementptr i8, ptr %data, i64 -48
  store i64 %capacity, ptr %h2
  call void @acquire(ptr @pool.lock)
  call void @pool.used(i64 %capacity)
  call void @release(ptr @pool.lock)
  ret ptr %data
none:
  ret ptr null
}

; Give a block back; it is kept unless that passes the limit.
define internal void @pool.free(ptr %data) {
entry:
  %h0 = getelementptr i8, ptr %data, i64 -64
  %raw = load ptr, ptr %h0
  %h1 = getelementptr i8, ptr %data, i64 -56
  %class = load i64, ptr %h1
  %h2 = getelementptr i8, ptr %data, i64 -48
  %capacity = load i64, ptr %h2
  %limit.p = getelementptr i64, ptr @pool.stats, i64 3
  call void @acquire(ptr @pool.lock)
  %less = sub i64 0, %capacity
  call void @pool.count(i64 0, i64 %less)
  %limit = load i64, ptr %limit.p
  %room = sub i64 %limit, %capacity
  %toobig = icmp slt i64 %room, 0
  br i1 %toobig, label %drop, label %keep
drop:
  call void @release(ptr @pool.lock)
  %free = load ptr, ptr @c.free
  call void %free(ptr %raw)
  ret void
keep:
  ; The block just used is the likeliest to be asked for: others make room for it.
  call void @pool.shrink(i64 %room)
  %list = getelementptr ptr, ptr @pool.lists, i64 %class
  %head = load ptr, ptr %list
  %next.p = getelementptr i8, ptr %data, i64 -40
  store ptr %head, ptr %next.p
  store ptr %data, ptr %list
  call void @pool.count(i64 1, i64 %capacity)
  call void @release(ptr @pool.lock)
  ret void
}

; Return kept blocks to the system until at most %limit bytes are kept; classes take
; turns. Called with the lock held.
define internal void @pool.shrink(i64 %limit) {
entry:
  %kept.p = getelementptr i64, ptr @pool.stats, i64 1
  br label %test
test:
  %left = phi i64 [ 352, %entry ], [ %left, %drop ], [ %fewer, %advance ]
  %kept = load i64, ptr %kept.p
  %over = icmp sgt i64 %kept, %limit
  %more = icmp sgt i64 %left, 0
  %go = and i1 %over, %more
  br i1 %go, label %look, label %done
look:
  %class = load i64, ptr @pool.cursor
  %list = getelementptr ptr, ptr @pool.lists, i64 %class
  %head = load ptr, ptr %list
  %empty = icmp eq ptr %head, null
  br i1 %empty, label %advance, label %drop
advance:
  %fewer = sub i64 %left, 1
  %plus = add i64 %class, 1
  %wraps = icmp eq i64 %plus, 352
  %next.class = select i1 %wraps, i64 0, i64 %plus
  store i64 %next.class, ptr @pool.cursor
  br label %test
drop:
  %next.p = getelementptr i8, ptr %head, i64 -40
  %next = load ptr, ptr %next.p
  store ptr %next, ptr %list
  %h2 = getelementptr i8, ptr %head, i64 -48
  %capacity = load i64, ptr %h2
  %less = sub i64 0, %capacity
  call void @pool.count(i64 1, i64 %less)
  %h0 = getelementptr i8, ptr %head, i64 -64
  %raw = load ptr, ptr %h0
  %free = load ptr, ptr @c.free
  call void %free(ptr %raw)
  br label %test
done:
  ret void
}

; step: return kept blocks until at most words[0] bytes are kept
define internal i32 @pool.trim(ptr %words, i64 %lo, i64 %hi) {
  %limit = load i64, ptr %words
  call void @acquire(ptr @pool.lock)
  call void @pool.shrink(i64 %limit)
  call void @release(ptr @pool.lock)
  ret i32 0
}

; ------------------------------------------------------------------ capsules
; @name.* and @text.* are C strings; engine_text.py prints them.

define internal void @buffer.destroy(ptr %capsule) {
entry:
  %get = load ptr, ptr @c.PyCapsule_GetPointer
  %data = call ptr %get(ptr %capsule, ptr @name.buffer)
  %there = icmp ne ptr %data, null
  br i1 %there, label %free, label %done
free:
  call void @pool.free(ptr %data)
  br label %done
done:
  ret void
}

; Capsules over foreign memory hold a reference to its owner, if they were given one.
define internal void @owner.destroy(ptr %capsule) {
entry:
  %get = load ptr, ptr @c.PyCapsule_GetContext
  %owner = call ptr %get(ptr %capsule)
  %there = icmp ne ptr %owner, null
  br i1 %there, label %drop, label %done
drop:
  %decref = load ptr, ptr @c.Py_DecRef
  call void %decref(ptr %owner)
  br label %done
done:
  ret void
}

; A capsule's address; null with a TypeError set that names the call and the place.
define internal ptr @capsule.address(ptr %capsule, ptr %name, ptr %caller, i64 %place) {
entry:
  %get = load ptr, ptr @c.PyCapsule_GetPointer
  %data = call ptr %get(ptr %capsule, ptr %name)
  %there = icmp ne ptr %data, null
  br i1 %there, label %done, label %wrong
wrong:
  ; Its own error would keep the first one as context: start from a clean state.
  %clear = load ptr, ptr @c.PyErr_Clear
  call void %clear()
  %format = load ptr, ptr @c.PyErr_Format
  %kind = load ptr, ptr @c.TypeError
  %r = call ptr (ptr, ptr, ...) %format(ptr %kind, ptr @text.capsule, ptr %caller,
      ptr %name, i64 %place, ptr %capsule)
  br label %done
done:
  ret ptr %data
}

; A new block in a new capsule; null with a Python exception set.
define internal ptr @buffer.new(i64 %nbytes) {
entry:
  %data = call ptr @pool.allocate(i64 %nbytes)
  %there = icmp ne ptr %data, null
  br i1 %there, label %wrap, label %nomemory
nomemory:
  %raise = load ptr, ptr @c.PyErr_NoMemory
  %null = call ptr %raise()
  ret ptr null
wrap:
  %new = load ptr, ptr @c.PyCapsule_New
  %capsule = call ptr %new(ptr %data, ptr @name.buffer, ptr @buffer.destroy)
  %made = icmp ne ptr %capsule, null
  br i1 %made, label %done, label %undo
undo:
  call void @pool.free(ptr %data)
  br label %done
done:
  ret ptr %capsule
}

define internal ptr @arguments.error(ptr %name, i64 %expected, i64 %got) {
  %format = load ptr, ptr @c.PyErr_Format
  %kind = load ptr, ptr @c.TypeError
  %r = call ptr (ptr, ptr, ...) %format(ptr %kind, ptr @text.arguments, ptr %name,
      i64 %expected, i64 %got, ptr @text.nothing)
  ret ptr null
}

; Python: allocate(nbytes) -> capsule
define internal ptr @py.allocate(ptr %self, ptr %args, i64 %nargs) {
entry:
  %one = icmp eq i64 %nargs, 1
  br i1 %one, label %read, label %wrong
wrong:
  %r0 = call ptr @arguments.error(ptr @text.allocate, i64 1, i64 %nargs)
  ret ptr null
read:
  %arg = load ptr, ptr %args
  %as = load ptr, ptr @c.PyLong_AsSsize_t
  %n = call i64 %as(ptr %arg)
  %minus = icmp slt i64 %n, 0
  br i1 %minus, label %bad, label %make
bad:
  %occurred = load ptr, ptr @c.PyErr_Occurred
  %already = call ptr %occurred()
  %set = icmp ne ptr %already, null
  br i1 %set, label %fail, label %negative
negative:
  %format = load ptr, ptr @c.PyErr_Format
  %kind = load ptr, ptr @c.ValueError
  %r1 = call ptr (ptr, ptr, ...) %format(ptr %kind, ptr @text.negative, i64 %n)
  br label %fail
fail:
  ret ptr null
make:
  %capsule = call ptr @buffer.new(i64 %n)
  ret ptr %capsule
}

; Python: address(capsule) -> int
define internal ptr @py.address(ptr %self, ptr %capsule) {
entry:
  %data = call ptr @capsule.address(ptr %capsule, ptr @name.buffer,
      ptr @text.address, i64 1)
  %there = icmp ne ptr %data, null
  br i1 %there, label %box, label %fail
box:
  %new = load ptr, ptr @c.PyLong_FromVoidPtr
  %number = call ptr %new(ptr %data)
  ret ptr %number
fail:
  ret ptr null
}

; A capsule over memory at args[0] that holds a reference to args[1], if there is one.
define internal ptr @capsule.over(ptr %args, i64 %nargs, ptr %name, ptr %caller) {
entry:
  %low = icmp slt i64 %nargs, 1
  %high = icmp sgt i64 %nargs, 2
  %wrong = or i1 %low, %high
  br i1 %wrong, label %count, label %read
count:
  %r0 = call ptr @arguments.error(ptr %caller, i64 2, i64 %nargs)
  ret ptr null
read:
  %arg = load ptr, ptr %args
  %as = load ptr, ptr @c.PyLong_AsVoidPtr
  %data = call ptr %as(ptr %arg)
  %occurred = load ptr, ptr @c.PyErr_Occurred
  %error = call ptr %occurred()
  %bad = icmp ne ptr %error, null
  br i1 %bad, label %fail, label %make
fail:
  ret ptr null
make:
  ; PyCapsule_New itself refuses a null address with a ValueError
  %new = load ptr, ptr @c.PyCapsule_New
  %capsule = call ptr %new(ptr %data, ptr %name, ptr @owner.destroy)
  %made = icmp ne ptr %capsule, null
  %owned = icmp eq i64 %nargs, 2
  %hold = and i1 %made, %owned
  br i1 %hold, label %own, label %done
own:
  %owner.p = getelementptr ptr, ptr %args, i64 1
  %owner = load ptr, ptr %owner.p
  %incref = load ptr, ptr @c.Py_IncRef
  call void %incref(ptr %owner)
  %set = load ptr, ptr @c.PyCapsule_SetContext
  %r1 = call i32 %set(ptr %capsule, ptr %owner)
  br label %done
done:
  ret ptr %capsule
}

; Python: borrow(address, owner) -> capsule
define internal ptr @py.borrow(ptr %self, ptr %args, i64 %nargs) {
  %r = call ptr @capsule.over(ptr %args, i64 %nargs, ptr @name.buffer, ptr @text.borrow)
  ret ptr %r
}

; Python: handle(address, owner) -> capsule of a program
define internal ptr @py.handle(ptr %self, ptr %args, i64 %nargs) {
  %r = call ptr @capsule.over(ptr %args, i64 %nargs, ptr @name.program,
      ptr @text.handle)
  ret ptr %r
}

; ------------------------------------------------------------------ views
; Python: view(capsule, dtype, shape, writable=False) -> ndarray whose base is capsule,
; made by NumPy's own C functions (their table's order is its binary interface).
define internal ptr @py.view(ptr %self, ptr %args, i64 %nargs) {
entry:
  %dims = alloca [32 x i64]
  %few = icmp slt i64 %nargs, 3
  %many = icmp sgt i64 %nargs, 4
  %wrong = or i1 %few, %many
  br i1 %wrong, label %count, label %read
count:
  %r0 = call ptr @arguments.error(ptr @text.view, i64 3, i64 %nargs)
  ret ptr null
read:
  %capsule = load ptr, ptr %args
  %data = call ptr @capsule.address(ptr %capsule, ptr @name.buffer, ptr @text.view,
      i64 1)
  %there = icmp ne ptr %data, null
  br i1 %there, label %dtype, label %fail
dtype:
  %descr.p = getelementptr ptr, ptr %args, i64 1
  %descr = load ptr, ptr %descr.p
  %isinstance = load ptr, ptr @c.PyObject_IsInstance
  %descr.type = load ptr, ptr @c.PyArrayDescr_Type
  %isdescr = call i32 %isinstance(ptr %descr, ptr %descr.type)
  %descr.ok = icmp eq i32 %isdescr, 1
  br i1 %descr.ok, label %tuple, label %nodescr
nodescr:
  %set = load ptr, ptr @c.PyErr_SetString
  %kind = load ptr, ptr @c.TypeError
  call void %set(ptr %kind, ptr @text.descr)
  ret ptr null
tuple:
  %shape.p = getelementptr ptr, ptr %args, i64 2
  %shape = load ptr, ptr %shape.p
  %tuple.type = load ptr, ptr @c.tuple
  %istuple = call i32 %isinstance(ptr %shape, ptr %tuple.type)
  %tuple.ok = icmp eq i32 %istuple, 1
  br i1 %tuple.ok, label %rank, label %noshape
rank:
  %sizeof = load ptr, ptr @c.PyTuple_Size
  %nd = call i64 %sizeof(ptr %shape)
  %rank.ok = icmp ule i64 %nd, 32
  br i1 %rank.ok, label %next, label %noshape
noshape:
  %set2 = load ptr, ptr @c.PyErr_SetString
  %kind2 = load ptr, ptr @c.TypeError
  call void %set2(ptr %kind2, ptr @text.shape)
  ret ptr null
next:
  %i = phi i64 [ 0, %rank ], [ %i1, %one ]
  %more = icmp slt i64 %i, %nd
  br i1 %more, label %one, label %sizes
one:
  %item = load ptr, ptr @c.PyTuple_GetItem
  %number = call ptr %item(ptr %shape, i64 %i)
  %as = load ptr, ptr @c.PyLong_AsSsize_t
  %size = call i64 %as(ptr %number)
  %dim = getelementptr i64, ptr %dims, i64 %i
  store i64 %size, ptr %dim
  %i1 = add i64 %i, 1
  br label %next
sizes:
  %occurred = load ptr, ptr @c.PyErr_Occurred
  %error = call ptr %occurred()
  %bad = icmp ne ptr %error, null
  br i1 %bad, label %fail, label %flagged
flagged:
  %four = icmp eq i64 %nargs, 4
  br i1 %four, label %truth, label %make
truth:
  %writable.p = getelementptr ptr, ptr %args, i64 3
  %writable = load ptr, ptr %writable.p
  %istrue = load ptr, ptr @c.PyObject_IsTrue
  %true = call i32 %istrue(ptr %writable)
  %yes = icmp eq i32 %true, 1
  %bit = select i1 %yes, i32 1024, i32 0
  br label %make
make:
  %write = phi i32 [ 0, %flagged ], [ %bit, %truth ]
  %flags = or i32 %write, 257
  %incref = load ptr, ptr @c.Py_IncRef
  call void %incref(ptr %descr)
  %nd32 = trunc i64 %nd to i32
  %new = load ptr, ptr @c.PyArray_NewFromDescr
  %array.type = load ptr, ptr @c.PyArray_Type
  %array = call ptr %new(ptr %array.type, ptr %descr, i32 %nd32, ptr %dims, ptr null,
      ptr %data, i32 %flags, ptr null)
  %made = icmp ne ptr %array, null
  br i1 %made, label %base, label %fail
base:
  call void %incref(ptr %capsule)
  %setbase = load ptr, ptr @c.PyArray_SetBaseObject
  %status = call i32 %setbase(ptr %array, ptr %capsule)
  %ok = icmp eq i32 %status, 0
  br i1 %ok, label %done, label %undo
undo:
  %decref = load ptr, ptr @c.Py_DecRef
  call void %decref(ptr %array)
  ret ptr null
done:
  ret ptr %array
fail:
  ret ptr null
}
"""
