define i32 @nest_d1fd8f9a531caba8876c3e4b(ptr noalias %words, i64 %lo, i64 %hi) #1 {
  %p.b0 = getelementptr inbounds i64, ptr %words, i64 0
  %b0 = load ptr, ptr %p.b0, align 8
  %p.b1 = getelementptr inbounds i64, ptr %words, i64 1
  %b1 = load ptr, ptr %p.b1, align 8
  %p.b2 = getelementptr inbounds i64, ptr %words, i64 2
  %b2 = load ptr, ptr %p.b2, align 8
  %p.w0 = getelementptr inbounds i64, ptr %words, i64 3
  %w0 = load i64, ptr %p.w0, align 8
  %p.w1 = getelementptr inbounds i64, ptr %words, i64 4
  %w1 = load i64, ptr %p.w1, align 8
  %p.w2 = getelementptr inbounds i64, ptr %words, i64 5
  %w2 = load i64, ptr %p.w2, align 8
  call void @nest_d1fd8f9a531caba8876c3e4b_body(ptr %b0, ptr %b1, ptr %b2, i64 %w0, i64 %w1, i64 %w2, i64 %lo, i64 %hi)
  ret i32 0
}
define internal void @nest_d1fd8f9a531caba8876c3e4b_body(ptr noalias captures(none) readonly %b0, ptr noalias captures(none) writeonly %b1, ptr noalias captures(none) writeonly %b2, i64 %w0, i64 %w1, i64 %w2, i64 %lo, i64 %hi) #0 {
entry:
  %s0 = alloca [256 x float], align 64
  %number0.bits = trunc i64 %w2 to i32
  %number0 = bitcast i32 %number0.bits to float
  %v3 = icmp slt i64 %lo, %hi
  br i1 %v3, label %body1, label %after2
body1:
  %v4 = call i64 @llvm.smin.i64(i64 %w0, i64 256)
  %v8 = icmp slt i64 0, %v4
  br i1 %v8, label %head5, label %after7
head5:
  %i9 = phi i64 [ 0, %body1 ], [ %n10, %latch6 ]
  %v11 = getelementptr inbounds float, ptr %s0, i64 %i9
  store float 0x0000000000000000, ptr %v11, align 4, !llvm.access.group !0
  br label %latch6
latch6:
  %n10 = add nuw nsw i64 %i9, 1
  %v12 = icmp eq i64 %n10, %v4
  br i1 %v12, label %after7, label %head5, !llvm.loop !3
after7:
  %v16 = icmp slt i64 0, %w1
  br i1 %v16, label %head13, label %after15
head13:
  %i17 = phi i64 [ 0, %after7 ], [ %n18, %latch14 ]
  %v19 = call i64 @llvm.smin.i64(i64 %w0, i64 256)
  %v23 = icmp slt i64 0, %v19
  br i1 %v23, label %head20, label %after22
head20:
  %i24 = phi i64 [ 0, %head13 ], [ %n25, %latch21 ]
  %v26 = getelementptr inbounds float, ptr %s0, i64 %i24
  %v27 = load float, ptr %v26, align 4, !llvm.access.group !4
  %v28 = fmul float %v27, %number0
  %v29 = mul nsw i64 %i17, %w0
  %v30 = add nsw i64 %v29, %i24
  %v31 = getelementptr inbounds float, ptr %b0, i64 %v30
  %v32 = load float, ptr %v31, align 4, !llvm.access.group !4
  %v33 = fadd float %v28, %v32
  %v34 = fcmp olt float 0x3FF0000000000000, %v33
  %v35 = uitofp i1 %v34 to float
  %v36 = fsub float %v33, %v35
  %v37 = getelementptr inbounds float, ptr %b2, i64 %v30
  store float %v35, ptr %v37, align 4, !llvm.access.group !4
  store float %v36, ptr %v26, align 4, !llvm.access.group !4
  br label %latch21
latch21:
  %n25 = add nuw nsw i64 %i24, 1
  %v38 = icmp eq i64 %n25, %v19
  br i1 %v38, label %after22, label %head20, !llvm.loop !6
after22:
  br label %latch14
latch14:
  %n18 = add nuw nsw i64 %i17, 1
  %v39 = icmp eq i64 %n18, %w1
  br i1 %v39, label %after15, label %head13, !llvm.loop !7
after15:
  %v40 = call i64 @llvm.smin.i64(i64 %w0, i64 256)
  %v44 = icmp slt i64 0, %v40
  br i1 %v44, label %head41, label %after43
head41:
  %i45 = phi i64 [ 0, %after15 ], [ %n46, %latch42 ]
  %v47 = getelementptr inbounds float, ptr %s0, i64 %i45
  %v48 = load float, ptr %v47, align 4, !llvm.access.group !8
  %v49 = getelementptr inbounds float, ptr %b1, i64 %i45
  store float %v48, ptr %v49, align 4, !llvm.access.group !8
  br label %latch42
latch42:
  %n46 = add nuw nsw i64 %i45, 1
  %v50 = icmp eq i64 %n46, %v40
  br i1 %v50, label %after43, label %head41, !llvm.loop !10
after43:
  br label %after2
after2:
  ret void
}
declare i64 @llvm.smin.i64(i64, i64)
attributes #0 = { noinline nounwind mustprogress nofree norecurse nosync "prefer-vector-width"="512" }
attributes #1 = { nounwind }
!0 = distinct !{}
!1 = !{!"llvm.loop.unroll.disable"}
!2 = !{!"llvm.loop.parallel_accesses", !0}
!3 = distinct !{!3, !1, !2}
!4 = distinct !{}
!5 = !{!"llvm.loop.parallel_accesses", !4}
!6 = distinct !{!6, !1, !5}
!7 = distinct !{!7, !1}
!8 = distinct !{}
!9 = !{!"llvm.loop.parallel_accesses", !8}
!10 = distinct !{!10, !1, !9}
