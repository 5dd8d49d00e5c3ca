"""LLVM text of the engine's worker threads: claiming pieces, waking, spinning, leaving.

``@tune.*`` are times in clock ticks; ``workers.py`` sets them, starts the threads and
pins them to cores.
"""

__all__ = ["WORKERS"]

WORKERS = r"""
; ------------------------------------------------------------------ workers
; One parallel row runs at a time. Its pieces are claimed through one word (how many
; were claimed from the bottom in the low half, the end of what is left in the high
; half): the caller takes from the bottom, workers from the top. A worker reads the
; job only after a claim succeeded, and a job is not replaced before every claimed
; piece is finished, so the caller waits for workers at work but never for one that
; has not started.
@job.claim = internal global i64 0, align 128
@job.finished = internal global i64 0, align 128
@job.entry = internal global ptr null, align 128
@job.frame = internal global ptr null
@job.status = internal global i32 0
@job.lock = internal global i32 0, align 128
@crew.sleepers = internal global i64 0, align 128
@crew.stop = internal global i32 0, align 128
@crew.state = internal global i64 0
@crew.workers = internal global i64 0
@crew.semaphore = internal global ptr null
@tune.poll = internal global i64 100000000
@tune.spin = internal global i64 100000
@tune.wake = internal global i64 300000
@tune.yield = internal global i64 50000

; Run piece %k of the current job, unless another one failed.
define internal void @job.run(i64 %k) {
entry:
  %before = load atomic i32, ptr @job.status monotonic, align 4
  %fine = icmp eq i32 %before, 0
  br i1 %fine, label %run, label %done
run:
  %e = load ptr, ptr @job.entry
  %frame = load ptr, ptr @job.frame
  %status = call i32 @piece.at(ptr %e, ptr %frame, i64 %k)
  %ok = icmp eq i32 %status, 0
  br i1 %ok, label %done, label %fail
fail:
  %swap = cmpxchg ptr @job.status, i32 0, i32 %status monotonic monotonic
  br label %done
done:
  ret void
}

define internal i32 @row.serial(ptr %entry.p, ptr %frame, i64 %n) {
entry:
  br label %test
test:
  %k = phi i64 [ 0, %entry ], [ %k1, %good ]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %run, label %done
run:
  %status = call i32 @piece.at(ptr %entry.p, ptr %frame, i64 %k)
  %ok = icmp eq i32 %status, 0
  br i1 %ok, label %good, label %bad
good:
  %k1 = add i64 %k, 1
  br label %test
bad:
  ret i32 %status
done:
  ret i32 0
}

define internal i32 @row.parallel(ptr %entry.p, ptr %frame) {
entry:
  %lo.p = getelementptr i64, ptr %entry.p, i64 2
  %hi.p = getelementptr i64, ptr %entry.p, i64 3
  %chunk.p = getelementptr i64, ptr %entry.p, i64 4
  %lo = load i64, ptr %lo.p
  %hi = load i64, ptr %hi.p
  %chunk = load i64, ptr %chunk.p
  %extent = sub i64 %hi, %lo
  %round = sub i64 %chunk, 1
  %up = add i64 %extent, %round
  %n = sdiv i64 %up, %chunk
  %workers = load i64, ptr @crew.workers
  %alone = icmp eq i64 %workers, 0
  %few = icmp slt i64 %n, 2
  %lots = icmp sgt i64 %n, 2147483647
  %one = or i1 %alone, %few
  %serially = or i1 %one, %lots
  br i1 %serially, label %serial, label %try
try:
  ; Held by another thread's row, or by the row that this one runs inside of.
  %swap = cmpxchg ptr @job.lock, i32 0, i32 1 acquire monotonic
  %got = extractvalue { i32, i1 } %swap, 1
  br i1 %got, label %publish, label %serial
serial:
  %s0 = call i32 @row.serial(ptr %entry.p, ptr %frame, i64 %n)
  ret i32 %s0
publish:
  store ptr %entry.p, ptr @job.entry
  store ptr %frame, ptr @job.frame
  store i32 0, ptr @job.status
  store atomic i64 0, ptr @job.finished monotonic, align 8
  %start = call i64 @ticks()
  %open = shl i64 %n, 32
  store atomic i64 %open, ptr @job.claim seq_cst, align 8
  br label %claim
claim:
  %own = phi i64 [ 0, %publish ], [ %own, %lost ], [ %own1, %timed ]
  %w = load atomic i64, ptr @job.claim acquire, align 8
  %low = and i64 %w, 4294967295
  %high = lshr i64 %w, 32
  %left = icmp ult i64 %low, %high
  br i1 %left, label %take, label %drain
take:
  %w1 = add i64 %w, 1
  %claimed = cmpxchg ptr @job.claim, i64 %w, i64 %w1 acq_rel acquire
  %won = extractvalue { i64, i1 } %claimed, 1
  br i1 %won, label %work, label %lost
lost:
  br label %claim
work:
  call void @job.run(i64 %low)
  %own1 = add i64 %own, 1
  %first = icmp eq i64 %own, 0
  br i1 %first, label %measure, label %timed
measure:
  ; A sleeper takes some 50 us to wake: only for what will take well longer.
  %sleepers = load atomic i64, ptr @crew.sleepers seq_cst, align 8
  %some = icmp sgt i64 %sleepers, 0
  br i1 %some, label %predict, label %timed
predict:
  %end = call i64 @ticks()
  %took = sub i64 %end, %start
  %rest0 = load atomic i64, ptr @job.claim monotonic, align 8
  %rest.high = lshr i64 %rest0, 32
  %rest.low = and i64 %rest0, 4294967295
  %rest = sub i64 %rest.high, %rest.low
  %ahead = mul i64 %took, %rest
  %threshold = load i64, ptr @tune.wake
  %worth = icmp sgt i64 %ahead, %threshold
  br i1 %worth, label %wake, label %timed
wake:
  %want = call i64 @llvm.smin.i64(i64 %sleepers, i64 %rest)
  call void @crew.post(i64 %want)
  br label %timed
timed:
  br label %claim
drain:
  %wait.start = call i64 @ticks()
  %yield.after = load i64, ptr @tune.yield
  br label %wait
wait:
  %finished = load atomic i64, ptr @job.finished acquire, align 8
  %total = add i64 %finished, %own
  %complete = icmp eq i64 %total, %n
  br i1 %complete, label %done, label %spin
spin:
  call void @pause()
  %wait.now = call i64 @ticks()
  %waited = sub i64 %wait.now, %wait.start
  %long = icmp ugt i64 %waited, %yield.after
  br i1 %long, label %yield, label %wait
yield:
  ; The worker may have been put aside on this very core.
  call void @yield()
  br label %wait
done:
  %status = load atomic i32, ptr @job.status monotonic, align 4
  store atomic i32 0, ptr @job.lock release, align 4
  ret i32 %status
}

define internal void @yield() {
entry:
  %f = load ptr, ptr @c.sched_yield
  %there = icmp ne ptr %f, null
  br i1 %there, label %call, label %done
call:
  %r = call i32 %f()
  br label %done
done:
  ret void
}

; Wake up to %want sleepers; each is taken off the count by whoever wakes it, so no
; sleeper is woken twice.
define internal void @crew.post(i64 %want) {
entry:
  br label %test
test:
  %k = phi i64 [ 0, %entry ], [ %k1, %posted ]
  %more = icmp slt i64 %k, %want
  br i1 %more, label %look, label %done
look:
  %n = load atomic i64, ptr @crew.sleepers seq_cst, align 8
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %take, label %done
take:
  %n1 = sub i64 %n, 1
  %swap = cmpxchg ptr @crew.sleepers, i64 %n, i64 %n1 seq_cst seq_cst
  %got = extractvalue { i64, i1 } %swap, 1
  br i1 %got, label %post, label %look
post:
  %f = load ptr, ptr @c.sem_post
  %semaphore = load ptr, ptr @crew.semaphore
  %r = call i32 %f(ptr %semaphore)
  br label %posted
posted:
  %k1 = add i64 %k, 1
  br label %test
done:
  ret void
}

; step: a worker's whole life, entered by a Python thread that has dropped the lock
define internal i32 @crew.worker(ptr %words, i64 %lo, i64 %hi) {
entry:
  %spin.for = load i64, ptr @tune.spin
  br label %rested
rested:
  %busy.at = call i64 @ticks()
  br label %spin
spin:
  %w = load atomic i64, ptr @job.claim acquire, align 8
  %low = and i64 %w, 4294967295
  %high = lshr i64 %w, 32
  %left = icmp ult i64 %low, %high
  br i1 %left, label %take, label %idle
take:
  %w1 = sub i64 %w, 4294967296
  %claimed = cmpxchg ptr @job.claim, i64 %w, i64 %w1 acq_rel acquire
  %won = extractvalue { i64, i1 } %claimed, 1
  br i1 %won, label %work, label %spin
work:
  %k = sub i64 %high, 1
  call void @job.run(i64 %k)
  %r0 = atomicrmw add ptr @job.finished, i64 1 acq_rel
  br label %rested
idle:
  %stop = load atomic i32, ptr @crew.stop acquire, align 4
  %end = icmp ne i32 %stop, 0
  br i1 %end, label %leave, label %linger
linger:
  call void @pause()
  %now = call i64 @ticks()
  %idle.for = sub i64 %now, %busy.at
  %tired = icmp ugt i64 %idle.for, %spin.for
  br i1 %tired, label %sleep, label %spin
sleep:
  ; Counted first, then the stop flag is read again: a stop in between wakes us.
  %r1 = atomicrmw add ptr @crew.sleepers, i64 1 seq_cst
  %stop2 = load atomic i32, ptr @crew.stop seq_cst, align 4
  %end2 = icmp ne i32 %stop2, 0
  br i1 %end2, label %leave, label %wait
wait:
  %f = load ptr, ptr @c.sem_wait
  %semaphore = load ptr, ptr @crew.semaphore
  %r2 = call i32 %f(ptr %semaphore)
  %woken = icmp eq i32 %r2, 0
  br i1 %woken, label %rested, label %wait
leave:
  ret i32 0
}

; step: let no row use workers from now on, once the present one is done; gives up
; after %hi ticks (status 1). Crew.reset opens again.
define internal i32 @crew.close(ptr %words, i64 %lo, i64 %hi) {
entry:
  %start = call i64 @ticks()
  br label %try
try:
  %swap = cmpxchg ptr @job.lock, i32 0, i32 1 acquire monotonic
  %got = extractvalue { i32, i1 } %swap, 1
  br i1 %got, label %closed, label %wait
wait:
  call void @pause()
  call void @yield()
  %now = call i64 @ticks()
  %waited = sub i64 %now, %start
  %late = icmp ugt i64 %waited, %hi
  br i1 %late, label %busy, label %try
busy:
  ret i32 1
closed:
  store i64 0, ptr @crew.workers
  ret i32 0
}

; step: tell all workers to leave
define internal i32 @crew.dismiss(ptr %words, i64 %lo, i64 %hi) {
  store atomic i32 1, ptr @crew.stop seq_cst, align 4
  call void @crew.post(i64 4096)
  ret i32 0
}

; step: forget workers, jobs and locks (none are left after a fork, or before a start);
; words: state, workers, semaphore
define internal i32 @crew.reset(ptr %words, i64 %lo, i64 %hi) {
  store atomic i64 0, ptr @job.claim seq_cst, align 8
  store atomic i64 0, ptr @job.finished seq_cst, align 8
  store atomic i32 0, ptr @job.lock seq_cst, align 4
  store atomic i64 0, ptr @crew.sleepers seq_cst, align 8
  store atomic i32 0, ptr @crew.stop seq_cst, align 4
  %state = load i64, ptr %words
  store i64 %state, ptr @crew.state
  %workers.p = getelementptr i64, ptr %words, i64 1
  %workers = load i64, ptr %workers.p
  store i64 %workers, ptr @crew.workers
  %semaphore.p = getelementptr i64, ptr %words, i64 2
  %semaphore = load ptr, ptr %semaphore.p
  store ptr %semaphore, ptr @crew.semaphore
  ret i32 0
}
"""
