"""A client that knows nothing of this package: it signs by itself, from the published rules alone."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding

BASE = "/trade-api/v2"
SOCKET = "/trade-api/ws/v2"


class Foreigner:
    """Headers in the name of one key."""

    def __init__(self, key_id: str, pem: bytes | str | Path) -> None:
        raw = pem if isinstance(pem, bytes) else Path(pem).read_bytes()
        self.key_id, self._key = key_id, serialization.load_pem_private_key(raw, None)

    def headers(self, method: str, path: str, *, at_ms: int | None = None, **changes: str) -> dict[str, str]:
        """The three headers. `path` is whole and without a query."""
        stamp = str(int(time.time() * 1000) if at_ms is None else at_ms)
        text = f"{stamp}{method}{path}".encode()
        key: Any = self._key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            signature = key.sign(text)
        else:
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
            signature = key.sign(text, pss, hashes.SHA256())
        made = {
            "KALSHI-ACCESS-KEY": self.key_id,
            "KALSHI-ACCESS-TIMESTAMP": stamp,
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }
        return made | changes


def order_body(ticker: str, **changes: Any) -> dict[str, Any]:
    """The body of an order as the documentation shows it."""
    body = {
        "ticker": ticker, "client_order_id": f"c-{time.perf_counter_ns()}", "side": "bid", "count": "10.00",
        "price": "0.4000", "time_in_force": "good_till_canceled", "self_trade_prevention_type": "taker_at_cross",
    }  # fmt: skip
    return body | changes
