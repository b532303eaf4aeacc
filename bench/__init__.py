"""Benchmarks: every figure with its floor, and its peer or limit measured in the same run."""
