"""Train, judge and trade a market-agnostic policy on Kalshi order books with Ray."""

__version__ = "0.3.0"
