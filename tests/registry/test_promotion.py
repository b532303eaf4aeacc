"""An alias moves through open gates, past closed ones only by force, and the report must be about that very model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kalshi_ray.errors import ConfigError, GateClosed, UnknownName, UsageError
from kalshi_ray.evaluate.report import EvaluationReport, to_json
from kalshi_ray.registry import Registry, TestUse, digest_of, open_registry
from kalshi_ray.registry.promotion import Promotion, PromotionSettings, promote
from tests.registry.bundles import NOW, save
from tests.registry.reports import judged


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """With one model, called one."""
    made = open_registry(str(tmp_path / "registry"), now=lambda: NOW)
    save(tmp_path / "one", id="one")
    made.register(tmp_path / "one")
    return made


def ask(
    registry: Registry, report: EvaluationReport | bytes | None, *, alias: str = "champion", **more: Any
) -> Promotion:
    raw = to_json(report) if isinstance(report, EvaluationReport) else report
    settings = more.pop("settings", PromotionSettings())
    return promote(registry, "one", alias=alias, report=raw, settings=settings, **({"reason": "it holds up"} | more))


def test_open_gates_let_an_alias_move_and_the_verdict_stays_with_the_model(registry: Registry) -> None:
    report = judged()
    done = ask(registry, report)
    assert registry.aliases() == {"champion": "one"}
    assert (done.move.forced, done.move.report) == (False, hashlib.sha256(to_json(report)).hexdigest())
    [verdict] = registry.verdicts("one")
    assert verdict == done.verdict
    assert (verdict.highest, verdict.session, verdict.markets) == ("production", "made-up", report.data.markets)
    net = report.judged[0].figures.net_per_market
    assert (verdict.net_per_market, verdict.low, verdict.high) == (net.mean, net.low, net.high)


def test_champion_needs_the_production_gate_and_other_names_the_viable_one(registry: Registry) -> None:
    report = judged(production=False)
    with pytest.raises(GateClosed, match=r"production gate: win rate is 40 %.*champion stays at no model"):
        ask(registry, report)
    assert registry.aliases() == {}
    assert not ask(registry, report, alias="challenger").move.forced


def test_which_name_needs_which_gate_can_be_set(registry: Registry) -> None:
    report = judged(production=False)
    with pytest.raises(GateClosed):
        ask(registry, report, alias="live", settings=PromotionSettings(production=("live",)))
    ask(registry, report, settings=PromotionSettings(production=("live",)))
    ask(registry, judged(viable=False), alias="toy", settings=PromotionSettings(viable=False))
    assert registry.aliases() == {"champion": "one", "toy": "one"}
    with pytest.raises(ConfigError, match="empty name"):
        PromotionSettings(production=("",))


def test_an_open_production_gate_does_not_stand_for_a_closed_viable_one(registry: Registry) -> None:
    with pytest.raises(GateClosed, match="viable gate"):
        ask(registry, judged(viable=False))


def test_a_closed_gate_is_kept_as_a_verdict_too(registry: Registry) -> None:
    for _ in range(2):  # the same report is one verdict
        with pytest.raises(GateClosed):
            ask(registry, judged(viable=False, production=False))
    [verdict] = registry.verdicts("one")
    assert verdict.highest == "" and verdict.gates[0].reasons == ("win rate is 40 %, expected above 52 %",)


def test_force_needs_a_reason_and_is_kept(registry: Registry) -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        ask(registry, judged(production=False), force=True, reason=" ")
    assert ask(registry, judged(production=False), force=True).move.forced
    assert not ask(registry, judged(), force=True).move.forced, "nothing had to be forced"
    assert ask(registry, None, force=True).move.forced
    assert [move.forced for move in registry.history()] == [True, False, True]


def test_without_a_report_nothing_moves(registry: Registry) -> None:
    with pytest.raises(UsageError, match="kalshi-ray evaluate"):
        ask(registry, None)
    assert registry.history() == []


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (judged(part="validation"), "judged on the part 'validation', expected 'test'"),
        (judged(part="all"), "judged on the part 'all'"),
        (judged(tickers=("A-2", "B-1")), "training saw 1 of the 2 markets it was judged on: A-2"),
        (judged(tickers=()), "does not name its markets"),
        (msgspec.structs.replace(judged(), action_fingerprint="f" * 16), "judged with action space ffff"),
        (msgspec.structs.replace(judged(), observation_fingerprint="e" * 16), "judged with observation eeee"),
    ],
)
def test_a_report_that_is_no_evidence_opens_nothing(registry: Registry, report: EvaluationReport, words: str) -> None:
    for alias in ("champion", "challenger"):
        with pytest.raises(GateClosed, match=words):
            ask(registry, report, alias=alias)
    assert registry.aliases() == {} and registry.verdicts("one")[0].highest == ""


def test_markets_nobody_named_are_taken_for_seen_where_the_session_is_the_same(tmp_path: Path) -> None:
    made = open_registry(str(tmp_path / "registry"))
    save(tmp_path / "one", id="one", sessions=[{"id": "made-up", "checksum": "0" * 64, "markets": 3}])
    made.register(tmp_path / "one")
    with pytest.raises(GateClosed, match="does not name the markets it saw"):
        ask(made, judged())
    ask(made, judged(checksum="1" * 64))
    assert made.aliases() == {"champion": "one"}


def test_generated_sessions_share_names_and_nothing_else(registry: Registry) -> None:
    ask(registry, judged(tickers=("A-2", "B-1"), synthetic=True, checksum="1" * 64))
    with pytest.raises(GateClosed, match="training saw 1 of the 2"):
        ask(registry, judged(tickers=("A-2", "B-1"), synthetic=True))


def test_another_market_of_an_event_that_training_saw_is_no_evidence(tmp_path: Path) -> None:
    made = open_registry(str(tmp_path / "registry"))
    trained_on = {"id": "s", "checksum": "1" * 64, "tickers": ["EVENT-03-T75", "EVENT-033-T80"]}
    save(tmp_path / "one", id="one", sessions=[trained_on])
    made.register(tmp_path / "one")
    with pytest.raises(GateClosed, match="other markets of events it was judged on: EVENT-03"):
        ask(made, judged())


def test_a_gate_without_checks_is_closed_whatever_it_claims(registry: Registry) -> None:
    raw = msgspec.json.decode(to_json(judged()))
    for held in raw["policies"][0]["gates"]:
        held.update(checks=[], open=True)
    with pytest.raises(GateClosed, match="no check of it"):
        ask(registry, msgspec.json.encode(raw))


def test_a_claim_to_be_open_counts_for_nothing(registry: Registry) -> None:
    raw = msgspec.json.decode(to_json(judged(viable=False, production=False)))
    raw["gates_open"] = True
    for held in raw["policies"][0]["gates"]:
        held["open"] = True
    with pytest.raises(GateClosed):
        ask(registry, msgspec.json.encode(raw))


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b"\xff"])
def test_what_is_no_report_is_refused(registry: Registry, raw: bytes) -> None:
    with pytest.raises(UsageError, match="no report of an evaluation"):
        ask(registry, raw)


def test_a_report_about_another_model_is_refused_even_by_force(registry: Registry) -> None:
    with pytest.raises(UsageError, match="judges two, not one"):
        ask(registry, judged(name="two"), force=True)
    assert registry.verdicts("one") == []


def test_a_model_that_is_not_registered_cannot_be_promoted(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="registered model"):
        promote(
            registry,
            str(tmp_path / "one"),
            alias="x",
            reason="r",
            report=None,
            settings=PromotionSettings(),
            force=True,
        )


def test_a_verdict_says_how_often_its_test_set_had_been_used(registry: Registry) -> None:
    report = judged()
    use = TestUse(
        session="made-up", checksum=report.data.checksum, tickers=digest_of(report.data.tickers), policies=("one",)
    )
    for _ in range(3):
        registry.count_test_use(use)
    done = ask(registry, report)
    assert done.verdict is not None and done.verdict.uses == 3
