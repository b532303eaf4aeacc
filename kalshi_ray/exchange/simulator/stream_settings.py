"""How much a stream may ask for, and how much may wait for it."""

from __future__ import annotations

import msgspec

MOST_FRAME_BYTES = 64 * 1024 * 1024  # of one message, either way


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one connection. Defaults are the exchange's where it names them."""

    # Frames of one subscription that wait for a slow reader; one more ends it with code 25.
    buffered_frames: int = 65_536
    market_limit: int = 500_000  # subscriptions to books; beyond it code 26
    commands_per_second: int = 10_000  # beyond it code 27

    def __post_init__(self) -> None:
        for name in ("buffered_frames", "market_limit", "commands_per_second"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
