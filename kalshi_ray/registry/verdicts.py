"""What an evaluation said of a model: kept beside it, with the hash of the report it was read from.

<registry>/models/<id>/verdicts.jsonl    one line for every report that a promotion was asked with
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

VERDICTS = "verdicts.jsonl"
GATES = ("viable", "production")  # from the lower to the higher


class GateVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One gate of a report."""

    name: str
    open: bool
    reasons: tuple[str, ...] = ()  # why it is closed


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One report about one model."""

    at: str  # ISO 8601, UTC
    report: str  # sha256 of its bytes
    session: str
    checksum: str  # of the session's data
    tickers: str  # digest of the markets judged
    part: str
    events: int
    markets: int
    fill_model: str  # with the lowest net of those that were run
    net_per_market: float | None = None  # dollars
    low: float | None = None  # of its interval
    high: float | None = None
    gates: tuple[GateVerdict, ...]
    objections: tuple[str, ...] = ()  # why the report is no evidence for a promotion, whatever its gates say
    uses: int = 0  # of the test set when the report was brought, its own among them
    imported: bool = False  # came with the model from another registry

    @property
    def highest(self) -> str:
        """The highest gate that is open in a report that counts; "" for none."""
        if self.objections:
            return ""
        open_gates = {gate.name for gate in self.gates if gate.open}
        return next((name for name in reversed(GATES) if name in open_gates), "")


def rank(verdicts: Sequence[Verdict]) -> tuple[int, float]:
    """How much the evidence for a model weighs: its highest open gate, then the lower end of net a market there."""
    best = (-1, float("-inf"))
    for verdict in verdicts:
        if verdict.objections:
            continue
        level = GATES.index(verdict.highest) if verdict.highest else -1
        best = max(best, (level, verdict.low if verdict.low is not None else float("-inf")))
    return best
