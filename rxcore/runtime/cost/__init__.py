"""The cost model: what a program takes on a device, and where it should run."""

from rxcore.runtime.cost.choose import Choice, Option, choose, upload_seconds
from rxcore.runtime.cost.correct import Corrections, bucket_of
from rxcore.runtime.cost.predict import Model, Terms, compile_cost, terms
from rxcore.runtime.cost.rates import Limits, Profile, Rate, Transfer
from rxcore.runtime.cost.store import (
    SHIPPED,
    dumps,
    host_profile,
    load,
    loads,
    measured,
    profile_for,
    profile_path,
    save,
    shipped,
)

__all__ = [
    "SHIPPED",
    "Choice",
    "Corrections",
    "Limits",
    "Model",
    "Option",
    "Profile",
    "Rate",
    "Terms",
    "Transfer",
    "bucket_of",
    "choose",
    "compile_cost",
    "dumps",
    "host_profile",
    "load",
    "loads",
    "measured",
    "profile_for",
    "profile_path",
    "save",
    "shipped",
    "terms",
    "upload_seconds",
]
