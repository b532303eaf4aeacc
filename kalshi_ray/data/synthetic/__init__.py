"""Synthetic sessions with a known truth: what no fill can profit from, planted signals, and a calibrated market."""

from __future__ import annotations

from kalshi_ray.data.synthetic.session import generate, synthesize, uninformed_share
from kalshi_ray.data.synthetic.settings import SynthSettings

__all__ = ["SynthSettings", "generate", "synthesize", "uninformed_share"]
