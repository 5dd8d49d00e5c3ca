define i32 @nest_aa32901dc56d4b48b4c22d7e(ptr noalias %words, i64 %lo, i64 %hi) #1 {
  %p.b0 = getelementptr inbounds i64, ptr %words, i64 0
  %b0 = load ptr, ptr %p.b0, align 8
  %p.b1 = getelementptr inbounds i64, ptr %words, i64 1
  %b1 = load ptr, ptr %p.b1, align 8
  %p.w0 = getelementptr inbounds i64, ptr %words, i64 2
  %w0 = load i64, ptr %p.w0, align 8
  call void @nest_aa32901dc56d4b48b4c22d7e_body(ptr %b0, ptr %b1, i64 %w0, i64 %lo, i64 %hi)
  ret i32 0
}
define internal void @nest_aa32901dc56d4b48b4c22d7e_body(ptr noalias captures(none) readonly %b0, ptr noalias captures(none) writeonly %b1, i64 %w0, i64 %lo, i64 %hi) #0 {
entry:
  %v4 = icmp slt i64 0, %w0
  br i1 %v4, label %head1, label %after3
head1:
  %i5 = phi i64 [ 0, %entry ], [ %n6, %latch2 ]
  %a7 = phi float [ 0x0000000000000000, %entry ], [ %v10, %latch2 ]
  %v8 = getelementptr inbounds float, ptr %b0, i64 %i5
  %v9 = load float, ptr %v8, align 4, !llvm.access.group !0
  %v10 = fadd reassoc float %a7, %v9
  br label %latch2
latch2:
  %n6 = add nuw nsw i64 %i5, 1
  %v11 = icmp eq i64 %n6, %w0
  br i1 %v11, label %after3, label %head1, !llvm.loop !3
after3:
  %v12 = phi float [ 0x0000000000000000, %entry ], [ %v10, %latch2 ]
  store float %v12, ptr %b1, align 4
  ret void
}
attributes #0 = { noinline nounwind mustprogress nofree norecurse nosync "prefer-vector-width"="512" }
attributes #1 = { nounwind }
!0 = distinct !{}
!1 = !{!"llvm.loop.unroll.disable"}
!2 = !{!"llvm.loop.parallel_accesses", !0}
!3 = distinct !{!3, !1, !2}
