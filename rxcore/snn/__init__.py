"""Spiking networks: neurons over time, surrogate gradients, codes, plasticity."""

from __future__ import annotations

from rxcore.snn import decode, encode, surrogate
from rxcore.snn.convention import CONVENTIONS
from rxcore.snn.izhikevich import IzhikevichState, izhikevich_scan
from rxcore.snn.lif import LIFState, lif_scan
from rxcore.snn.neuron_scan import neuron_scan
from rxcore.snn.neurons import ALIFState, CuLIFState, alif_scan, culif_scan
from rxcore.snn.stdp import STDPTraces, stdp

__all__ = [
    "CONVENTIONS",
    "ALIFState",
    "CuLIFState",
    "IzhikevichState",
    "LIFState",
    "STDPTraces",
    "alif_scan",
    "culif_scan",
    "decode",
    "encode",
    "izhikevich_scan",
    "lif_scan",
    "neuron_scan",
    "stdp",
    "surrogate",
]
