"""Kalshi's text to typed messages and back. No I/O, no clock; the only place that leaves the YES axis."""
