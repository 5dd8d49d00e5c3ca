"""Spiking neural networks: neurons over time, surrogate gradients, codes, plasticity."""

from __future__ import annotations

from rxcore.snn import surrogate
from rxcore.snn.lif import LIFState, lif_scan
from rxcore.snn.neuron_scan import neuron_scan

__all__ = ["LIFState", "lif_scan", "neuron_scan", "surrogate"]
