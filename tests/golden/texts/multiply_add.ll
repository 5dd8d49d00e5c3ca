define i32 @nest_52d419bef89a62f8f3f1a215(ptr noalias %words, i64 %lo, i64 %hi) #1 {
  %p.b0 = getelementptr inbounds i64, ptr %words, i64 0
  %b0 = load ptr, ptr %p.b0, align 8
  %p.b1 = getelementptr inbounds i64, ptr %words, i64 1
  %b1 = load ptr, ptr %p.b1, align 8
  %p.b2 = getelementptr inbounds i64, ptr %words, i64 2
  %b2 = load ptr, ptr %p.b2, align 8
  call void @nest_52d419bef89a62f8f3f1a215_body(ptr %b0, ptr %b1, ptr %b2, i64 %lo, i64 %hi)
  ret i32 0
}
define internal void @nest_52d419bef89a62f8f3f1a215_body(ptr noalias captures(none) readonly %b0, ptr noalias captures(none) readonly %b1, ptr noalias captures(none) writeonly %b2, i64 %lo, i64 %hi) #0 {
entry:
  %v4 = icmp slt i64 %lo, %hi
  br i1 %v4, label %head1, label %after3
head1:
  %i5 = phi i64 [ %lo, %entry ], [ %n6, %latch2 ]
  %v7 = getelementptr inbounds float, ptr %b1, i64 %i5
  %v8 = load float, ptr %v7, align 4, !llvm.access.group !0
  %v9 = fmul float %v8, 0x4000000000000000
  %v10 = getelementptr inbounds float, ptr %b0, i64 %i5
  %v11 = load float, ptr %v10, align 4, !llvm.access.group !0
  %v12 = fadd float %v9, %v11
  %v13 = getelementptr inbounds float, ptr %b2, i64 %i5
  store float %v12, ptr %v13, align 4, !llvm.access.group !0
  br label %latch2
latch2:
  %n6 = add nuw nsw i64 %i5, 1
  %v14 = icmp eq i64 %n6, %hi
  br i1 %v14, label %after3, label %head1, !llvm.loop !5
after3:
  ret void
}
attributes #0 = { noinline nounwind mustprogress nofree norecurse nosync "prefer-vector-width"="512" }
attributes #1 = { nounwind }
!0 = distinct !{}
!1 = !{!"llvm.loop.unroll.disable"}
!2 = !{!"llvm.loop.parallel_accesses", !0}
!3 = !{!"llvm.loop.vectorize.width", i32 16}
!4 = !{!"llvm.loop.interleave.count", i32 2}
!5 = distinct !{!5, !1, !2, !3, !4}
