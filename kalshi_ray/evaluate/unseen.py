"""What a bundle has seen of the markets it is judged on, and how often a test set was looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.errors import UsageError
from kalshi_ray.evaluate.contest import Contestant, Markets
from kalshi_ray.evaluate.report import EvaluationReport, TestSetUse
from kalshi_ray.registry import Manifest, Registry, TestUse, digest_of


def trained_events(manifest: Manifest, pack: ViewPack, *, recorded: bool) -> set[str]:
    """Events of `pack` of which the bundle saw a market in training.

    The same data is told by its checksum. Other recordings of an event count too, by the tickers of its markets; of
    generated sessions (`recorded` False) they do not: two of them share names and nothing else.
    """
    found: set[str] = set()
    for session in manifest.sessions:
        same = session.get("checksum") == pack.checksum
        if not same and not recorded:
            continue
        seen = set(session.get("tickers", ()))
        events = pack.views["event"]
        found |= {pack.events[events[view]] for view, ticker in enumerate(pack.tickers) if ticker in seen}
        if not same:  # markets that this session does not hold, of events that it does
            found |= set(pack.events) & set(_prefixes(seen))
    return found


def _prefixes(tickers: Iterable[str]) -> Iterable[str]:
    """What may be the event of each ticker: Kalshi's tickers begin with it."""
    for ticker in tickers:
        words = ticker.split("-")
        yield from ("-".join(words[:count]) for count in range(1, len(words) + 1))


def overlap_of(manifest: Manifest, pack: ViewPack, markets: Markets, *, recorded: bool) -> int:
    """How many of the judged events the bundle was trained on."""
    judged = {pack.events[event] for event in np.unique(pack.views["event"][markets.views])}
    return len(judged & trained_events(manifest, pack, recorded=recorded))


def refuse_overlap(contestants: Sequence[Contestant], events: int, *, part: str) -> None:
    """Raise UsageError where a bundle would be judged on events that it was trained on."""
    for one in contestants:
        if one.trained_on:
            raise UsageError(
                f"{one.policy.name} was trained on {one.trained_on} of the {events} events of the {part} part",
                remedy="Judge it with the split it was trained with (split.…) on another part or session, "
                "or say --allow-overlap: its gates stay closed",
            )


def count_use(
    report: EvaluationReport, manifests: Mapping[str, Manifest], pack: ViewPack, markets: Markets, registry: Registry
) -> EvaluationReport:
    """Note in the registry that bundles were judged on this test set; the report with how often it had been used."""
    models = tuple(sorted({manifest.id for manifest in manifests.values()}))
    use = TestUse(
        session=pack.session,
        checksum=pack.checksum,
        tickers=digest_of(pack.tickers[view] for view in markets.views),
        part=report.settings.part,
        policies=models,
    )
    others = {model for one in registry.test_uses() if one.test_set == use.test_set for model in one.policies} - set(
        models
    )
    before = registry.count_test_use(use)
    flags = report.data.flags
    if before:
        flags += (
            f"this test set was used {before:,} times before, by {len(others):,} other models: a result that was "
            "chosen among many shows less than its interval says",
        )
    return msgspec.structs.replace(
        report,
        data=msgspec.structs.replace(report.data, flags=flags),
        test_use=TestSetUse(before=before, models=len(others)),
    )
