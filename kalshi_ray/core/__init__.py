"""The core shared by training, the exchange simulator and live trading. Imports numpy and numba only."""
