"""Pruning: scores, masks, schedules, sparse training, and models that really shrink."""

from __future__ import annotations

from rxcore.prune import score
from rxcore.prune.allocate import allocate
from rxcore.prune.apply import apply, mask_gradients, prunable
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
from rxcore.prune.sparse_training import (
    RigL,
    SparseState,
    due,
    rigl_init,
    rigl_step,
    set_step,
    train_step,
)
from rxcore.prune.structure import Block, NofM, Slices

__all__ = [
    "Block",
    "NofM",
    "PruneState",
    "Pruner",
    "Report",
    "RigL",
    "Schedule",
    "Slices",
    "SparseState",
    "allocate",
    "apply",
    "cubic",
    "due",
    "gradual",
    "mask_gradients",
    "one_shot",
    "prunable",
    "prune_mask",
    "report",
    "rigl_init",
    "rigl_step",
    "score",
    "set_step",
    "train_step",
]
