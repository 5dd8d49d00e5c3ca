"""Pruning: scores, masks, schedules, sparse training, and models that really shrink."""

from __future__ import annotations

from rxcore.prune import score
from rxcore.prune.allocate import allocate
from rxcore.prune.apply import apply, mask_gradients, prunable, rescale
from rxcore.prune.finetune import (
    EarlyStopping,
    StopState,
    early_stopping,
    warmup_cosine,
)
from rxcore.prune.mask import prune_mask
from rxcore.prune.report import Report, report
from rxcore.prune.schedule import (
    Pruner,
    PruneState,
    Schedule,
    cubic,
    gradual,
    one_shot,
)
from rxcore.prune.shrink import shrink
from rxcore.prune.sparse_state import RigL, SparseState
from rxcore.prune.sparse_training import (
    due,
    rigl_init,
    rigl_step,
    set_step,
    train_step,
)
from rxcore.prune.structure import Block, NofM, Slices

__all__ = [
    "Block",
    "EarlyStopping",
    "NofM",
    "PruneState",
    "Pruner",
    "Report",
    "RigL",
    "Schedule",
    "Slices",
    "SparseState",
    "StopState",
    "allocate",
    "apply",
    "cubic",
    "due",
    "early_stopping",
    "gradual",
    "mask_gradients",
    "one_shot",
    "prunable",
    "prune_mask",
    "report",
    "rescale",
    "rigl_init",
    "rigl_step",
    "score",
    "set_step",
    "shrink",
    "train_step",
    "warmup_cosine",
]
