"""How often each test set was used: a set that was looked at often shows less than its interval says.

<registry>/uses.jsonl    one line for every evaluation that judged a model on a test part
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from kalshi_ray.errors import UsageError

USES = "uses.jsonl"


class TestUse(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation on a test set, which is told by the data's checksum and the markets that were judged."""

    __test__ = False  # no test of pytest's

    session: str
    checksum: str  # of the session's data
    tickers: str  # `digest_of` the markets judged
    part: str = "test"
    policies: tuple[str, ...]  # ids of the models judged
    at: str = ""  # ISO 8601, UTC; "": the registry's clock when it is counted

    @property
    def test_set(self) -> tuple[str, str]:
        """What makes two uses uses of the same set; the session's name is not part of it."""
        return self.checksum, self.tickers


class TestSet(msgspec.Struct, frozen=True, kw_only=True):
    """How often one test set was used, and by whom."""

    __test__ = False

    session: str  # the name it had last
    checksum: str
    tickers: str
    part: str
    uses: int
    models: tuple[str, ...]  # that were judged on it, each once
    last: str


def digest_of(tickers: Iterable[str]) -> str:
    """A short name for a set of markets, whatever their order."""
    return hashlib.sha256("\n".join(sorted(set(tickers))).encode()).hexdigest()[:16]


def checked(use: TestUse, at: str) -> TestUse:
    """The use with its time. UsageError where it does not say what was judged on what."""
    lacks = [name for name in ("session", "checksum", "tickers", "policies") if not getattr(use, name)]
    if lacks:
        raise UsageError(f"a test use without {' and '.join(lacks)}", remedy="Say which models saw which markets")
    return use if use.at else msgspec.structs.replace(use, at=at)


def count_before(held: Sequence[TestUse], use: TestUse) -> int:
    """How many of the uses held are of the same test set."""
    return sum(one.test_set == use.test_set for one in held)


def sets_of(held: Iterable[TestUse]) -> list[TestSet]:
    """Every test set with its uses, the most used first."""
    by_set: dict[tuple[str, str], list[TestUse]] = {}
    for use in held:
        by_set.setdefault(use.test_set, []).append(use)
    found = [
        TestSet(
            session=uses[-1].session,
            checksum=checksum,
            tickers=tickers,
            part=uses[-1].part,
            uses=len(uses),
            models=tuple(dict.fromkeys(model for use in uses for model in use.policies)),
            last=uses[-1].at,
        )
        for (checksum, tickers), uses in by_set.items()
    ]
    return sorted(found, key=lambda one: -one.uses)
