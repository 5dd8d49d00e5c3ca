"""LLVM text of the engine's walking half: tables, control steps, worker threads.

A row of a step table is six 64-bit words::

    0 function   1 words (index into the frame)   2 lo   3 hi   4 chunk   5 chained

In front of every frame stand four words that belong to the call::

    frame[-4] the thread state to take Python's lock with, 0 while the lock is held
    frame[-3] steps until the clock is looked at   frame[-2] steps between two looks
    frame[-1] the clock at the last look at Python's signals

Functions are called through addresses loaded as pointers: this LLVM miscompiles
arithmetic that goes through ptrtoint and inttoptr, and none is needed.
"""

__all__ = ["STEPS"]

STEPS = r"""
; ------------------------------------------------------------------ signals
; Between any two steps Ctrl-C can stop a program. Asking Python costs more than a
; small step does, so the clock is read every frame[-2] steps (doubled while the looks
; come within about a millisecond) and Python is asked some twenty times a second.
define internal i32 @poll(ptr %frame) alwaysinline {
entry:
  %count.p = getelementptr i64, ptr %frame, i64 -3
  %count = load i64, ptr %count.p
  %less = sub i64 %count, 1
  store i64 %less, ptr %count.p
  %due = icmp sle i64 %less, 0
  br i1 %due, label %look, label %fine, !prof !9
look:
  %status = call i32 @poll.look(ptr %frame)
  ret i32 %status
fine:
  ret i32 0
}

define internal i32 @poll.look(ptr %frame) noinline {
entry:
  %count.p = getelementptr i64, ptr %frame, i64 -3
  %period.p = getelementptr i64, ptr %frame, i64 -2
  %last.p = getelementptr i64, ptr %frame, i64 -1
  %now = call i64 @ticks()
  %last = load i64, ptr %last.p
  %gone = sub i64 %now, %last
  %interval = load i64, ptr @tune.poll
  %ask = icmp ugt i64 %gone, %interval
  br i1 %ask, label %python, label %early
early:
  ; A sixty-fourth of the interval, at least, between two looks.
  %part = lshr i64 %interval, 6
  %quick = icmp ult i64 %gone, %part
  %period = load i64, ptr %period.p
  %double = shl i64 %period, 1
  %grown = call i64 @llvm.smin.i64(i64 %double, i64 65536)
  %next = select i1 %quick, i64 %grown, i64 %period
  store i64 %next, ptr %period.p
  store i64 %next, ptr %count.p
  ret i32 0
python:
  store i64 %now, ptr %last.p
  store i64 1, ptr %period.p
  store i64 1, ptr %count.p
  %state.p = getelementptr i64, ptr %frame, i64 -4
  %state = load ptr, ptr %state.p
  %released = icmp ne ptr %state, null
  br i1 %released, label %take, label %check
take:
  %restore = load ptr, ptr @c.PyEval_RestoreThread
  call void %restore(ptr %state)
  br label %check
check:
  %signals = load ptr, ptr @c.PyErr_CheckSignals
  %raised = call i32 %signals()
  br i1 %released, label %give, label %done
give:
  %save = load ptr, ptr @c.PyEval_SaveThread
  %again = call ptr %save()
  store ptr %again, ptr %state.p
  br label %done
done:
  ; The exception waits in the thread state until the call returns.
  %stop = icmp ne i32 %raised, 0
  %status = select i1 %stop, i32 -2, i32 0
  ret i32 %status
}

; ------------------------------------------------------------------ one piece
; Run a row and the rows chained to it over [lo, hi): an epilogue finds the piece in
; the cache.
define internal i32 @piece(ptr %entry.p, ptr %frame, i64 %lo, i64 %hi) {
entry:
  %chained.p = getelementptr i64, ptr %entry.p, i64 5
  %chained = load i64, ptr %chained.p
  br label %row
row:
  %k = phi i64 [ 0, %entry ], [ %k1, %next ]
  %offset = mul i64 %k, 6
  %e = getelementptr i64, ptr %entry.p, i64 %offset
  %function = load ptr, ptr %e
  %words.p = getelementptr i64, ptr %e, i64 1
  %index = load i64, ptr %words.p
  %words = getelementptr i64, ptr %frame, i64 %index
  %status = call i32 %function(ptr %words, i64 %lo, i64 %hi)
  %ok = icmp eq i32 %status, 0
  br i1 %ok, label %next, label %stop
next:
  %k1 = add i64 %k, 1
  %more = icmp sle i64 %k1, %chained
  br i1 %more, label %row, label %stop
stop:
  ret i32 %status
}

; Piece number %k of a row that is cut into pieces.
define internal i32 @piece.at(ptr %entry.p, ptr %frame, i64 %k) {
  %lo.p = getelementptr i64, ptr %entry.p, i64 2
  %hi.p = getelementptr i64, ptr %entry.p, i64 3
  %chunk.p = getelementptr i64, ptr %entry.p, i64 4
  %lo = load i64, ptr %lo.p
  %hi = load i64, ptr %hi.p
  %chunk = load i64, ptr %chunk.p
  %skip = mul i64 %k, %chunk
  %from = add i64 %lo, %skip
  %end = add i64 %from, %chunk
  %to = call i64 @llvm.smin.i64(i64 %end, i64 %hi)
  %status = call i32 @piece(ptr %entry.p, ptr %frame, i64 %from, i64 %to)
  ret i32 %status
}

; ------------------------------------------------------------------ tables
define internal i32 @walk(ptr %table, i64 %n, ptr %frame) {
entry:
  br label %test
test:
  %k = phi i64 [ 0, %entry ], [ %k1, %advance ]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %row, label %done
row:
  %interrupt = call i32 @poll(ptr %frame)
  %calm = icmp eq i32 %interrupt, 0
  br i1 %calm, label %kind, label %stop
kind:
  %offset = mul i64 %k, 6
  %e = getelementptr i64, ptr %table, i64 %offset
  %chunk.p = getelementptr i64, ptr %e, i64 4
  %chunk = load i64, ptr %chunk.p
  %cut = icmp sgt i64 %chunk, 0
  br i1 %cut, label %pieces, label %whole
pieces:
  %s1 = call i32 @row.parallel(ptr %e, ptr %frame)
  br label %ran
whole:
  %lo.p = getelementptr i64, ptr %e, i64 2
  %hi.p = getelementptr i64, ptr %e, i64 3
  %lo = load i64, ptr %lo.p
  %hi = load i64, ptr %hi.p
  %s2 = call i32 @piece(ptr %e, ptr %frame, i64 %lo, i64 %hi)
  br label %ran
ran:
  %status = phi i32 [ %s1, %pieces ], [ %s2, %whole ]
  %ok = icmp eq i32 %status, 0
  br i1 %ok, label %advance, label %stop
advance:
  %chained.p = getelementptr i64, ptr %e, i64 5
  %chained = load i64, ptr %chained.p
  %past = add i64 %chained, 1
  %k1 = add i64 %k, %past
  br label %test
stop:
  %why = phi i32 [ %interrupt, %row ], [ %status, %ran ]
  ret i32 %why
done:
  ret i32 0
}

; ------------------------------------------------------------------ control steps
; A patch is four words (kind, index, a, b). ADD (0): frame[index] starts as frame[a]
; and grows by b after each pass. FLIP (1): it starts as frame[a] and changes between
; frame[a] and frame[b].
define internal void @patch.start(ptr %frame, ptr %patches, i64 %n) {
entry:
  br label %test
test:
  %k = phi i64 [ 0, %entry ], [ %k1, %one ]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %one, label %done
one:
  %offset = shl i64 %k, 2
  %p = getelementptr i64, ptr %patches, i64 %offset
  %index.p = getelementptr i64, ptr %p, i64 1
  %index = load i64, ptr %index.p
  %a.p = getelementptr i64, ptr %p, i64 2
  %a = load i64, ptr %a.p
  %from = getelementptr i64, ptr %frame, i64 %a
  %value = load i64, ptr %from
  %to = getelementptr i64, ptr %frame, i64 %index
  store i64 %value, ptr %to
  %k1 = add i64 %k, 1
  br label %test
done:
  ret void
}

define internal void @patch.step(ptr %frame, ptr %patches, i64 %n) {
entry:
  br label %test
test:
  %k = phi i64 [ 0, %entry ], [ %k1, %set ]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %one, label %done
one:
  %offset = shl i64 %k, 2
  %p = getelementptr i64, ptr %patches, i64 %offset
  %kind = load i64, ptr %p
  %index.p = getelementptr i64, ptr %p, i64 1
  %index = load i64, ptr %index.p
  %a.p = getelementptr i64, ptr %p, i64 2
  %a = load i64, ptr %a.p
  %b.p = getelementptr i64, ptr %p, i64 3
  %b = load i64, ptr %b.p
  %word = getelementptr i64, ptr %frame, i64 %index
  %old = load i64, ptr %word
  %flips = icmp eq i64 %kind, 1
  br i1 %flips, label %flip, label %grow
flip:
  %first.p = getelementptr i64, ptr %frame, i64 %a
  %first = load i64, ptr %first.p
  %second.p = getelementptr i64, ptr %frame, i64 %b
  %second = load i64, ptr %second.p
  %isfirst = icmp eq i64 %old, %first
  %other = select i1 %isfirst, i64 %second, i64 %first
  br label %set
grow:
  %sum = add i64 %old, %b
  br label %set
set:
  %new = phi i64 [ %other, %flip ], [ %sum, %grow ]
  store i64 %new, ptr %word
  %k1 = add i64 %k, 1
  br label %test
done:
  ret void
}

; words: frame, trip count, table, rows, patches, number of patches
define internal i32 @step.loop(ptr %words, i64 %lo, i64 %hi) {
entry:
  %frame = load ptr, ptr %words
  %p1 = getelementptr i64, ptr %words, i64 1
  %trips = load i64, ptr %p1
  %p2 = getelementptr i64, ptr %words, i64 2
  %table = load ptr, ptr %p2
  %p3 = getelementptr i64, ptr %words, i64 3
  %rows = load i64, ptr %p3
  %p4 = getelementptr i64, ptr %words, i64 4
  %patches = load ptr, ptr %p4
  %p5 = getelementptr i64, ptr %words, i64 5
  %n = load i64, ptr %p5
  call void @patch.start(ptr %frame, ptr %patches, i64 %n)
  br label %test
test:
  %t = phi i64 [ 0, %entry ], [ %t1, %good ]
  %more = icmp slt i64 %t, %trips
  br i1 %more, label %pass, label %done
pass:
  %status = call i32 @walk(ptr %table, i64 %rows, ptr %frame)
  %ok = icmp eq i32 %status, 0
  br i1 %ok, label %good, label %bad
good:
  call void @patch.step(ptr %frame, ptr %patches, i64 %n)
  %t1 = add i64 %t, 1
  br label %test
bad:
  ret i32 %status
done:
  ret i32 0
}

; words: frame, condition table, rows, address of an i8, body table, rows, patches,
; number of patches
define internal i32 @step.while(ptr %words, i64 %lo, i64 %hi) {
entry:
  %frame = load ptr, ptr %words
  %p1 = getelementptr i64, ptr %words, i64 1
  %cond = load ptr, ptr %p1
  %p2 = getelementptr i64, ptr %words, i64 2
  %cond.rows = load i64, ptr %p2
  %p3 = getelementptr i64, ptr %words, i64 3
  %flag.p = load ptr, ptr %p3
  %p4 = getelementptr i64, ptr %words, i64 4
  %body = load ptr, ptr %p4
  %p5 = getelementptr i64, ptr %words, i64 5
  %body.rows = load i64, ptr %p5
  %p6 = getelementptr i64, ptr %words, i64 6
  %patches = load ptr, ptr %p6
  %p7 = getelementptr i64, ptr %words, i64 7
  %n = load i64, ptr %p7
  call void @patch.start(ptr %frame, ptr %patches, i64 %n)
  br label %test
test:
  ; Two empty tables must be interruptible too.
  %interrupt = call i32 @poll(ptr %frame)
  %calm = icmp eq i32 %interrupt, 0
  br i1 %calm, label %ask, label %bad
ask:
  %s1 = call i32 @walk(ptr %cond, i64 %cond.rows, ptr %frame)
  %ok1 = icmp eq i32 %s1, 0
  br i1 %ok1, label %read, label %bad
read:
  %flag = load i8, ptr %flag.p
  %go = icmp ne i8 %flag, 0
  br i1 %go, label %pass, label %done
pass:
  %s2 = call i32 @walk(ptr %body, i64 %body.rows, ptr %frame)
  %ok2 = icmp eq i32 %s2, 0
  br i1 %ok2, label %good, label %bad
good:
  call void @patch.step(ptr %frame, ptr %patches, i64 %n)
  br label %test
bad:
  %status = phi i32 [ %interrupt, %test ], [ %s1, %ask ], [ %s2, %pass ]
  ret i32 %status
done:
  ret i32 0
}

; words: frame, address of an i32, number of branches, then a table and its rows each
define internal i32 @step.switch(ptr %words, i64 %lo, i64 %hi) {
  %frame = load ptr, ptr %words
  %p1 = getelementptr i64, ptr %words, i64 1
  %index.p = load ptr, ptr %p1
  %index32 = load i32, ptr %index.p
  %index = sext i32 %index32 to i64
  %p2 = getelementptr i64, ptr %words, i64 2
  %n = load i64, ptr %p2
  %last = sub i64 %n, 1
  %below = call i64 @llvm.smin.i64(i64 %index, i64 %last)
  %chosen = call i64 @llvm.smax.i64(i64 %below, i64 0)
  %twice = shl i64 %chosen, 1
  %slot = add i64 %twice, 3
  %table.p = getelementptr i64, ptr %words, i64 %slot
  %table = load ptr, ptr %table.p
  %rows.p = getelementptr i64, ptr %table.p, i64 1
  %rows = load i64, ptr %rows.p
  %status = call i32 @walk(ptr %table, i64 %rows, ptr %frame)
  ret i32 %status
}

; words: destination, source; bytes lo..hi
define internal i32 @step.copy(ptr %words, i64 %lo, i64 %hi) {
  %to0 = load ptr, ptr %words
  %p1 = getelementptr i64, ptr %words, i64 1
  %from0 = load ptr, ptr %p1
  %to = getelementptr i8, ptr %to0, i64 %lo
  %from = getelementptr i8, ptr %from0, i64 %lo
  %n = sub i64 %hi, %lo
  call void @llvm.memmove.p0.p0.i64(ptr %to, ptr %from, i64 %n, i1 false)
  ret i32 0
}

; words: destination, byte value; bytes lo..hi
define internal i32 @step.fill(ptr %words, i64 %lo, i64 %hi) {
  %to0 = load ptr, ptr %words
  %p1 = getelementptr i64, ptr %words, i64 1
  %value = load i64, ptr %p1
  %byte = trunc i64 %value to i8
  %to = getelementptr i8, ptr %to0, i64 %lo
  %n = sub i64 %hi, %lo
  call void @llvm.memset.p0.i64(ptr %to, i8 %byte, i64 %n, i1 false)
  ret i32 0
}

!9 = !{!"branch_weights", i32 1, i32 1000}
"""
