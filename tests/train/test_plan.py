"""What is trained, validated and tested on is decided without Ray, disjoint, and refused where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import ray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.joined import join_packs
from kalshi_ray.data.measures import measure_pack
from kalshi_ray.data.selection import SuitabilitySettings, select
from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import SplitSettings
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.views import build_pack, subset_pack
from kalshi_ray.env.samplers import RATED, SAMPLERS
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import ConfigError, NothingToDo, UsageError
from kalshi_ray.train.curricula import steps_of_all
from kalshi_ray.train.overlap import require_apart
from kalshi_ray.train.plan import Plan, plan_training
from kalshi_ray.train.settings import TrainSettings
from tests.train.sessions import SUITABLE, small_session

ENV = EnvSettings(position_limit=50.0)
SPLIT = SplitSettings(train=0.5, validation=0.0, test=0.5)
THIRDS = SplitSettings(by="event", train=0.4, validation=0.3, test=0.3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SessionStore:
    store = open_store(str(tmp_path_factory.mktemp("store")))
    small_session(store, "a", seed=3)
    small_session(store, "b", seed=4)
    small_session(store, "same-events", seed=3, markets=8, later_s=3_600)
    small_session(store, "later", seed=5, later_s=7_200)
    return store


def planned(store: SessionStore, *names: str, split: SplitSettings = SPLIT, **changes: Any) -> Plan:
    of_settings = {name: changes.pop(name) for name in list(changes) if name in TrainSettings.__struct_fields__}
    others: dict[str, Any] = {"env": ENV, "selection": SUITABLE} | changes
    return plan_training([store.open(name) for name in names], TrainSettings(**of_settings), split=split, **others)


def pack_of(plan: Plan) -> ViewPack:
    assert isinstance(plan.shared.pack, ViewPack)
    return plan.shared.pack


def tickers(plan: Plan, part: str) -> set[str]:
    return set(next(one.tickers for one in plan.markets if one.part == part))


def test_two_sessions_are_one_pack_with_both_sessions_named(store: SessionStore) -> None:
    plan = planned(store, "a", "b")
    assert not ray.is_initialized()
    assert pack_of(plan).session == "a+b" and [one.id for one in plan.sessions] == ["a", "b"]
    assert {name.split("-")[1][0] for name in tickers(plan, "train")} == {"3", "4"}


def test_suitability_is_judged_in_each_session_by_itself(store: SessionStore) -> None:
    """Quarters are those of a session: in the joined time of two sessions an hour apart no market has two of them."""
    strict = SuitabilitySettings(min_quarters=2, min_decisions=20, quarters_of="session")
    plan = planned(store, "a", "later", selection=strict)
    alone = [
        select(pack, strict, markets=one.markets()).views
        for one in (store.open("a"), store.open("later"))
        for pack in [build_pack(one)]
    ]
    assert len(alone[0]) and len(alone[1])
    first = len(build_pack(store.open("a")).views)
    assert plan.selection.views.tolist() == [*alone[0].tolist(), *(alone[1] + first).tolist()]
    joined = join_packs([build_pack(store.open(name)) for name in ("a", "later")])
    assert not len(select_or_none(joined, strict))


def select_or_none(pack: ViewPack, settings: SuitabilitySettings) -> np.ndarray:
    try:
        return select(pack, settings).views
    except NothingToDo:
        return np.zeros(0, np.int32)


@pytest.mark.parametrize(("other", "split"), [("same-events", THIRDS), ("b", SPLIT)])
def test_train_validation_and_test_share_no_event(store: SessionStore, other: str, split: SplitSettings) -> None:
    plan = planned(store, "a", other, split=split)
    events = [set(one.events) for one in plan.markets]
    assert events[0] and events[2]
    assert not events[0] & events[1] and not events[0] & events[2] and not events[1] & events[2]


def test_the_validation_part_is_chosen_by_its_first_minutes_and_starts_after_them(store: SessionStore) -> None:
    plan = planned(store, "a", "b", split=THIRDS)
    judged = plan.judged
    assert judged is not None and judged.shared is plan.shared
    assert set(judged.views.tolist()) <= set(plan.split.validation.tolist())
    assert (judged.starts >= pack_of(plan).views["start"][judged.views] + 20).all()
    assert "the validation part of a+b" in judged.words


def test_without_eval_freq_or_a_validation_part_nothing_is_validated(store: SessionStore) -> None:
    assert planned(store, "a", split=THIRDS, eval_freq=0).judged is None
    assert planned(store, "a").judged is None
    with pytest.raises(ConfigError, match="heed its validation, but there is none"):
        planned(store, "a", early_stop=0.3)


def test_other_sessions_are_validated_on_wholly(store: SessionStore) -> None:
    plan = planned(store, "a", split=THIRDS, validate_on=[store.open("later")])
    judged = plan.judged
    assert judged is not None and judged.words.startswith("later, traded from")
    assert {name.split("-")[1][0] for name in tickers(plan, "validation")} == {"5"}
    assert len(judged.views) == 12


def test_a_validation_session_of_the_same_events_or_of_the_same_time_is_refused_unless_told(
    store: SessionStore,
) -> None:
    with pytest.raises(UsageError, match=r"events \(SYN.*\) are among those to train on and in same-events"):
        planned(store, "a", validate_on=[store.open("same-events")])
    with pytest.raises(UsageError, match=r"of a, were recorded from 2026-01-05 15:00.*and b, which.*times overlap"):
        planned(store, "a", validate_on=[store.open("b")])
    assert planned(store, "a", validate_on=[store.open("b")], allow_overlap=True).judged is not None


def test_an_event_in_the_training_part_and_in_another_is_refused_unless_told() -> None:
    """Which a split by time alone allows: an event of several markets."""
    from tests.data.test_joined import session

    pack = session("a", 1, markets=2)  # two markets of one event
    parts: Any = type("Parts", (), {"validation": np.zeros(0, np.int32), "test": np.array([1])})()
    with pytest.raises(UsageError, match="event E0 is in the training part and in the test part"):
        require_apart(pack, np.array([0], np.int32), parts)
    parts.test = np.zeros(0, np.int32)
    require_apart(pack, np.array([0], np.int32), parts)


def test_what_leaves_nothing_says_so_before_ray_starts(store: SessionStore) -> None:
    with pytest.raises(NothingToDo, match="no market of session 'b' is suitable"):
        planned(store, "a", "b", selection=msgspec.structs.replace(SUITABLE, tickers=("*-3E*",)))
    with pytest.raises(UsageError, match="'a' is the same recording"):
        planned(store, "a", "b", "a")
    with pytest.raises(NothingToDo, match="no market of session 'a' can be traded by its first"):
        planned(store, "a", split=THIRDS, causal=causal(updates=10**6))
    assert not ray.is_initialized()


def causal(**changes: Any) -> Any:
    from kalshi_ray.data.selection import CausalSettings

    return CausalSettings(**changes)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_gets_what_it_goes_by_and_plays(store: SessionStore, sampler: Any) -> None:
    plan = planned(store, "a", "b", sampler=sampler)
    assert (plan.ratings is not None) == (sampler in RATED)
    rows = plan_rows(plan)
    batch = rows.new_batch()
    rows.reset_into(batch)
    assert set(rows.rows["view_index"].tolist()) <= set(plan.views.tolist())


def plan_rows(plan: Plan) -> Any:
    """Rows of the plan's source, with the pack as it stands in this process."""
    from kalshi_ray.train.sources import MarketSource

    return MarketSource(
        pack=pack_of(plan),
        settings=plan.settings.training_env(plan.env),
        views=tuple(plan.views.tolist()),
        sampler=plan.settings.sampler,
        ratings=plan.ratings,
        sessions=plan.sessions,
    ).make(4, 0)


def test_a_run_until_every_market_was_played_has_the_sum_of_their_decisions(store: SessionStore) -> None:
    plan = planned(store, "a", "b", sampler="each-once", until_played=True)
    steps = pack_of(plan).views["steps"][plan.views]
    assert plan.settings.steps == steps.sum() == sum(measured(store, plan))
    slower = msgspec.structs.replace(ENV, decision_ms=5_000)
    fewer = steps_of_all(pack_of(plan), plan.views, plan.settings.training_env(slower))
    assert 0 < fewer < plan.settings.steps


def measured(store: SessionStore, plan: Plan) -> list[int]:
    part = subset_pack(pack_of(plan), plan.views)
    return [int(one) for one in measure_pack(part)["decisions"].sum(axis=1)]


def test_each_once_wants_one_runner_of_ours() -> None:
    for wrong in ({"runners": 2, "rows": 64}, {"learner": "stock", "tau_s": 0.0}):
        with pytest.raises(ConfigError, match="each-once gives every market once"):
            TrainSettings(sampler="each-once", **wrong).resolved()  # type: ignore[arg-type]


def test_the_bundle_is_told_of_each_session_what_was_trained_on(store: SessionStore, tmp_path: Path) -> None:
    from kalshi_ray.train.sources import MarketSource

    plan = planned(store, "a", "b")
    source = MarketSource(pack_of(plan), ENV, tuple(plan.views.tolist()), sessions=plan.sessions)
    said = source.describe().sessions
    opened: list[Session] = [store.open(name) for name in ("a", "b")]
    assert [one["checksum"] for one in said] == [one.checksum for one in opened]
    assert sum(one["markets"] for one in said) == len(plan.views)
    assert {ticker for one in said for ticker in one["tickers"]} == tickers(plan, "train")
