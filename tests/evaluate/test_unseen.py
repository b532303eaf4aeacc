"""What a bundle was trained on is not judged unless told so, and each look at a test set is counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import split_views
from kalshi_ray.data.views import build_pack
from kalshi_ray.errors import UsageError
from kalshi_ray.evaluate.contest import every_market
from kalshi_ray.evaluate.job import evaluate_on_session
from kalshi_ray.evaluate.run import Evaluation
from kalshi_ray.evaluate.unseen import overlap_of, trained_events
from kalshi_ray.registry import Bundle, open_registry
from tests.evaluate.sessions import small_session
from tests.evaluate.test_families import manifest
from tests.evaluate.test_job import CAUSAL, ENV, SELECTION, SETTINGS, SPLIT, bundle, session

__all__ = ["bundle", "session"]  # fixtures

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_same_data_is_told_by_its_checksum_and_other_data_by_its_tickers() -> None:
    pack, _ = small_session()
    seen = {"checksum": pack.checksum, "tickers": [pack.tickers[3]]}
    event = pack.events[pack.views["event"][3]]
    assert trained_events(manifest(sessions=[seen]), pack, recorded=False) == {event}
    elsewhere = {**seen, "checksum": "another"}
    assert trained_events(manifest(sessions=[elsewhere]), pack, recorded=True) == {event}
    # Two generated sessions share names and nothing else.
    assert trained_events(manifest(sessions=[elsewhere]), pack, recorded=False) == set()


def test_another_strike_of_a_judged_event_counts_as_the_event() -> None:
    pack, _ = small_session()
    seen = {"checksum": "another", "tickers": [f"{pack.events[0]}-T99", "UNRELATED-1"]}
    assert trained_events(manifest(sessions=[seen]), pack, recorded=True) == {pack.events[0]}
    assert overlap_of(manifest(sessions=[seen]), pack, every_market(pack), recorded=True) == 1


def trained_on(bundle: Bundle, session: Session, part: str) -> Bundle:
    """The bundle, as if it had been trained on one part of the session."""
    pack = build_pack(session)
    tickers = [pack.tickers[view] for view in getattr(split_views(pack, SPLIT), part)]
    seen = [{"id": session.id, "checksum": session.checksum, "tickers": tickers}]
    return replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, sessions=seen))


def judge(session: Session, bundle: Bundle, registry: Path | None = None, **changes: Any) -> Evaluation:
    return evaluate_on_session(
        session,
        ["champion"],
        msgspec.structs.replace(SETTINGS, baselines=("hold",), **changes),
        env=ENV,
        selection=SELECTION,
        causal=CAUSAL,
        split=SPLIT,
        bundles=lambda _: bundle,
        registry=None if registry is None else open_registry(str(registry), now=lambda: NOW),
    )


def test_a_part_it_was_not_trained_on_is_judged(session: Session, bundle: Bundle) -> None:
    (policy,) = judge(session, trained_on(bundle, session, "train")).report.judged
    assert policy.home and not any("trained on" in remark for remark in policy.remarks)


@pytest.mark.parametrize("part", ["train", "all"])
def test_events_it_was_trained_on_are_refused_unless_told(session: Session, bundle: Bundle, part: str) -> None:
    seen = trained_on(bundle, session, "train")
    with pytest.raises(UsageError, match=r"run-a was trained on \d+ of the \d+ events of the .* part.*--allow-overlap"):
        judge(session, seen, part=part)
    (policy,) = judge(session, seen, part=part, allow_overlap=True).report.judged
    assert any("were trained on" in remark for remark in policy.remarks)
    assert all(any("were trained on" in reason for reason in gate.reasons) for gate in policy.gates)


def test_each_look_at_a_test_set_is_counted_and_the_next_report_says_so(
    session: Session, bundle: Bundle, tmp_path: Path
) -> None:
    first, second = judge(session, bundle, tmp_path), judge(session, bundle, tmp_path)
    assert first.report.test_use is not None and first.report.test_use.before == 0
    assert second.report.test_use is not None and second.report.test_use.before == 1
    assert not any("used" in flag for flag in first.report.data.flags)
    assert any("was used 1 times before" in flag for flag in second.report.data.flags)
    (line,) = open_registry(str(tmp_path)).test_sets()
    assert line.uses == 2 and line.models == ("run-a",)


def test_other_parts_and_other_policies_are_not_counted(session: Session, bundle: Bundle, tmp_path: Path) -> None:
    assert judge(session, bundle, tmp_path, part="train").report.test_use is None
    assert open_registry(str(tmp_path)).test_sets() == []
