"""Train, judge and trade a market-agnostic policy on Kalshi order books with Ray."""

__version__ = "0.2.0"
