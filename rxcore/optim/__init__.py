"""Optimizers as pairs of pure functions, learning rate schedules, gradient limits."""

from __future__ import annotations

from rxcore.optim.adam import AdamState, adam, adamw
from rxcore.optim.clip import clip_by_global_norm, clip_by_value, global_norm
from rxcore.optim.optimizer import LearningRate, Optimizer, Schedule
from rxcore.optim.schedules import constant, cosine, join, linear_warmup, polynomial
from rxcore.optim.sgd import SGDState, sgd

__all__ = [
    "AdamState",
    "LearningRate",
    "Optimizer",
    "SGDState",
    "Schedule",
    "adam",
    "adamw",
    "clip_by_global_norm",
    "clip_by_value",
    "constant",
    "cosine",
    "global_norm",
    "join",
    "linear_warmup",
    "polynomial",
    "sgd",
]
