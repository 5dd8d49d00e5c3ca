define i32 @nest_18ff54b6414a402c3faec62b(ptr noalias %words, i64 %lo, i64 %hi) #1 {
  %p.b0 = getelementptr inbounds i64, ptr %words, i64 0
  %b0 = load ptr, ptr %p.b0, align 8
  %p.b1 = getelementptr inbounds i64, ptr %words, i64 1
  %b1 = load ptr, ptr %p.b1, align 8
  %p.w0 = getelementptr inbounds i64, ptr %words, i64 2
  %w0 = load i64, ptr %p.w0, align 8
  call void @nest_18ff54b6414a402c3faec62b_body(ptr %b0, ptr %b1, i64 %w0, i64 %lo, i64 %hi)
  ret i32 0
}
define internal void @nest_18ff54b6414a402c3faec62b_body(ptr noalias captures(none) readonly %b0, ptr noalias captures(none)  %b1, i64 %w0, i64 %lo, i64 %hi) #0 {
entry:
  %v4 = icmp slt i64 %lo, %hi
  br i1 %v4, label %head1, label %after3
head1:
  %i5 = phi i64 [ %lo, %entry ], [ %n6, %latch2 ]
  %v10 = icmp slt i64 0, %w0
  br i1 %v10, label %head7, label %after9
head7:
  %i11 = phi i64 [ 0, %head1 ], [ %n12, %latch8 ]
  %a13 = phi float [ 0xFFF0000000000000, %head1 ], [ %v18, %latch8 ]
  %v14 = mul nsw i64 %i5, %w0
  %v15 = add nsw i64 %v14, %i11
  %v16 = getelementptr inbounds float, ptr %b0, i64 %v15
  %v17 = load float, ptr %v16, align 4, !llvm.access.group !0
  %v18 = call reassoc nsz float @llvm.maximum.f32(float %v17, float %a13)
  br label %latch8
latch8:
  %n12 = add nuw nsw i64 %i11, 1
  %v19 = icmp eq i64 %n12, %w0
  br i1 %v19, label %after9, label %head7, !llvm.loop !3
after9:
  %v20 = phi float [ 0xFFF0000000000000, %head1 ], [ %v18, %latch8 ]
  %v24 = icmp slt i64 0, %w0
  br i1 %v24, label %head21, label %after23
head21:
  %i25 = phi i64 [ 0, %after9 ], [ %n26, %latch22 ]
  %a27 = phi float [ 0x0000000000000000, %after9 ], [ %v59, %latch22 ]
  %v28 = mul nsw i64 %i5, %w0
  %v29 = add nsw i64 %v28, %i25
  %v30 = getelementptr inbounds float, ptr %b0, i64 %v29
  %v31 = load float, ptr %v30, align 4, !llvm.access.group !4
  %v32 = fsub float %v31, %v20
  %v33 = fcmp olt float %v32, 0xC05A000000000000
  %v34 = select i1 %v33, float 0xC05A000000000000, float %v32
  %v35 = fcmp olt float 0x4056400000000000, %v34
  %v36 = select i1 %v35, float 0x4056400000000000, float %v34
  %v37 = call float @llvm.fmuladd.f32(float %v36, float 0x3FF7154760000000, float 0x4168000000000000)
  %v38 = fsub float %v37, 0x4168000000000000
  %v39 = call float @llvm.fmuladd.f32(float %v38, float 0xBFE62E8000000000, float %v36)
  %v40 = call float @llvm.fmuladd.f32(float %v38, float 0x3EFE8082E0000000, float %v39)
  %v41 = fmul float %v40, %v40
  %v42 = call float @llvm.fmuladd.f32(float 0x3F56A1A600000000, float %v40, float 0x3F8123FC60000000)
  %v43 = call float @llvm.fmuladd.f32(float %v42, float %v40, float 0x3FA5559160000000)
  %v44 = call float @llvm.fmuladd.f32(float %v43, float %v40, float 0x3FC55548A0000000)
  %v45 = call float @llvm.fmuladd.f32(float %v44, float %v40, float 0x3FDFFFFFC0000000)
  %v46 = call float @llvm.fmuladd.f32(float %v41, float %v45, float %v40)
  %v47 = fadd float %v46, 0x3FF0000000000000
  %v48 = fcmp olt float %v38, 0xC059400000000000
  %v49 = bitcast float %v37 to i32
  %v50 = select i1 %v48, i32 1275068416, i32 1056964608
  %v51 = and i32 23, 31
  %v52 = shl i32 %v49, %v51
  %v53 = add i32 %v50, %v52
  %v54 = bitcast i32 %v53 to float
  %v55 = fmul float %v47, %v54
  %v56 = select i1 %v48, float 0x3E60000000000000, float 0x4000000000000000
  %v57 = fmul float %v55, %v56
  %v58 = getelementptr inbounds float, ptr %b1, i64 %v29
  store float %v57, ptr %v58, align 4, !llvm.access.group !4
  %v59 = fadd reassoc float %a27, %v57
  br label %latch22
latch22:
  %n26 = add nuw nsw i64 %i25, 1
  %v60 = icmp eq i64 %n26, %w0
  br i1 %v60, label %after23, label %head21, !llvm.loop !6
after23:
  %v61 = phi float [ 0x0000000000000000, %after9 ], [ %v59, %latch22 ]
  %v65 = icmp slt i64 0, %w0
  br i1 %v65, label %head62, label %after64
head62:
  %i66 = phi i64 [ 0, %after23 ], [ %n67, %latch63 ]
  %v68 = mul nsw i64 %i5, %w0
  %v69 = add nsw i64 %v68, %i66
  %v70 = getelementptr inbounds float, ptr %b1, i64 %v69
  %v71 = load float, ptr %v70, align 4, !llvm.access.group !7
  %v72 = fdiv float %v71, %v61
  store float %v72, ptr %v70, align 4, !llvm.access.group !7
  br label %latch63
latch63:
  %n67 = add nuw nsw i64 %i66, 1
  %v73 = icmp eq i64 %n67, %w0
  br i1 %v73, label %after64, label %head62, !llvm.loop !9
after64:
  br label %latch2
latch2:
  %n6 = add nuw nsw i64 %i5, 1
  %v74 = icmp eq i64 %n6, %hi
  br i1 %v74, label %after3, label %head1, !llvm.loop !10
after3:
  ret void
}
declare float @llvm.fmuladd.f32(float, float, float)
declare float @llvm.maximum.f32(float, float)
attributes #0 = { noinline nounwind mustprogress nofree norecurse nosync "prefer-vector-width"="512" }
attributes #1 = { nounwind }
!0 = distinct !{}
!1 = !{!"llvm.loop.unroll.disable"}
!2 = !{!"llvm.loop.parallel_accesses", !0}
!3 = distinct !{!3, !1, !2}
!4 = distinct !{}
!5 = !{!"llvm.loop.parallel_accesses", !4}
!6 = distinct !{!6, !1, !5}
!7 = distinct !{}
!8 = !{!"llvm.loop.parallel_accesses", !7}
!9 = distinct !{!9, !1, !8}
!10 = distinct !{!10, !1}
