"""The environment: the trader machine against a recorded book, many rows at a time."""
