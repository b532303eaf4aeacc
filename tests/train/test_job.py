"""Training on a real session of generated order books, from the store to the bundle."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_ray.data.selection import SuitabilitySettings
from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import SplitSettings
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.synthetic.session import synthesize
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import NothingToDo
from kalshi_ray.registry import load_bundle
from kalshi_ray.registry.bundle import WEIGHTS
from kalshi_ray.train.job import Trained, name_run, train_on_sessions
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import MarketSource, MaskedVectorEnv
from tests.train.sessions import small_session

BATCH = 1_024
ENV = EnvSettings(position_limit=50.0)
SPLIT = SplitSettings(train=0.5, validation=0.0, test=0.5)
SUITABLE = SuitabilitySettings(min_quarters=1, min_decisions=20)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    store = open_store(str(tmp_path_factory.mktemp("store")))
    synthesize(store, "small", SynthSettings(regime="planted", markets=12, waves=2, hours=0.05, seed=3))
    return store.open("small")


@pytest.fixture(scope="module")
def source(session: Session) -> MarketSource:
    return MarketSource(pack=build_pack(session), settings=TrainSettings().training_env(ENV), views=(0, 1, 2))


def run(session: Session, folder: Path, **changes: Any) -> Trained:
    small = {"rows": 16, "batch": BATCH, "minibatch": 512, "epochs": 1, "steps": 3 * BATCH, "save_freq": BATCH}
    settings = TrainSettings(**(small | {"episode": 50} | changes))
    return train_on_sessions([session], settings, env=ENV, selection=SUITABLE, split=SPLIT, run_dir=folder)


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_a_session_is_trained_on_and_the_bundle_says_from_what(session: Session, tmp_path: Path) -> None:
    trained = run(session, tmp_path / "r")
    manifest = load_bundle(trained.result.bundle).manifest
    said = manifest.sessions[0]
    assert (said["id"], said["checksum"], said["markets"]) == ("small", session.checksum, trained.trained_on)
    pack = build_pack(session)
    events = pack.views["event"]
    trained_events = {int(events[pack.tickers.index(ticker)]) for ticker in said["tickers"]}
    assert trained_events.isdisjoint(events[trained.split.test].tolist())
    assert manifest.env["position_limit"] == 50.0 and manifest.env["max_decisions"] == 50
    assert trained.result.metrics["episode_steps"] > 0


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize("order", ["random", "cycle"])
def test_the_same_seed_gives_the_same_bytes_and_a_resumed_run_too(session: Session, tmp_path: Path, order: str) -> None:
    whole = run(session, tmp_path / "a", sampler=order)
    again = run(session, tmp_path / "b", sampler=order, keep=3)
    settings = TrainSettings(
        rows=16,
        batch=BATCH,
        minibatch=512,
        epochs=1,
        steps=3 * BATCH,
        episode=50,
        sampler=order,  # type: ignore[arg-type]
    )
    resumed = train_on_sessions(
        [session],
        settings,
        env=ENV,
        selection=SUITABLE,
        split=SPLIT,
        run_dir=tmp_path / "c",
        resume_from=again.result.run_dir / "checkpoints" / f"step-{BATCH:012d}",
    )
    weights = [(t.result.bundle / WEIGHTS).read_bytes() for t in (whole, again, resumed)]
    assert weights[0] == weights[1] == weights[2]


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_rllibs_own_parts_train_on_the_same_rows(session: Session, tmp_path: Path) -> None:
    trained = run(session, tmp_path / "r", runner="stock", learner="stock", tau_s=0.0, cost_ramp=0.0, steps=BATCH)
    assert trained.result.steps >= BATCH


def test_a_selection_that_leaves_nothing_says_so(session: Session, tmp_path: Path) -> None:
    demanding = SuitabilitySettings(min_decisions=10**9)
    with pytest.raises(NothingToDo, match="no market of session 'small' is suitable"):
        train_on_sessions([session], TrainSettings(), env=ENV, selection=demanding, split=SPLIT, run_dir=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_rows_of_one_seed_are_equal_and_of_another_are_not(source: MarketSource) -> None:
    first, again, other = (walk(source, seed) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def walk(source: MarketSource, seed: int) -> np.ndarray:
    rows = source.make(8, seed)
    batch = rows.new_batch()
    rows.reset_into(batch)
    seen = [batch.observation.copy()]
    for _ in range(20):
        rows.step_into(np.array([np.flatnonzero(legal)[-1] for legal in batch.mask]), batch)
        seen.append(batch.observation.copy())
    return np.stack(seen)


def test_the_masked_rows_carry_the_mask_beside_the_observation(source: MarketSource) -> None:
    env = MaskedVectorEnv(source.make(4, 0))
    seen, _ = env.reset(seed=5)
    assert env.observation_space.contains(seen)
    for _ in range(30):
        legal = seen["action_mask"]
        seen, reward, _, _, _ = env.step(np.array([np.flatnonzero(row)[0] for row in legal]))
        assert np.isfinite(reward).all() and seen["action_mask"].any(axis=1).all()


def test_markets_that_are_not_in_the_pack_are_refused(source: MarketSource) -> None:
    with pytest.raises(NothingToDo, match="1 markets to train on, of 12"):
        MarketSource(pack=source.pack, settings=ENV, views=(99,)).make(1, 0)


def test_a_configuration_that_is_copied_copies_no_market(source: MarketSource) -> None:
    copied = copy.deepcopy({"source": source})["source"]
    assert copied.pack is source.pack and copied.views is source.views


def test_a_run_is_named_by_time_preset_and_seed() -> None:
    at = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert name_run(TrainSettings(seed=7), at=at) == "20260203T040506-fast-s7"


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_each_once_ends_when_every_market_was_played_whole_and_trains_on_those_decisions_alone(
    session: Session, tmp_path: Path
) -> None:
    """Fewer markets than rows: most rows stand still from the start, and towards the end nearly all do.

    Batches are filled with steps that were played: the last one alone may be smaller.
    """
    small = {"rows": 16, "batch": 256, "minibatch": 64, "epochs": 1, "save_freq": 10**6, "steps": 10**6}
    settings = TrainSettings(**small, sampler="each-once", eval_freq=0)  # type: ignore[arg-type]
    options: dict[str, Any] = {"env": ENV, "selection": SUITABLE, "split": SPLIT}
    trained = train_on_sessions([session], settings, run_dir=tmp_path / "r", **options)
    pack = build_pack(session)
    said = load_bundle(trained.result.bundle).manifest.sessions[0]["tickers"]
    views = [pack.tickers.index(ticker) for ticker in said]
    assert trained.result.steps == int(pack.views["steps"][views].sum())
    assert (trained.result.status, trained.result.why) == ("finished", "every market was played")
    assert trained.result.metrics["iteration"] <= -(-trained.result.steps // 256)
    until = train_on_sessions([session], settings, run_dir=tmp_path / "u", until_played=True, **options)
    assert until.steps == until.result.steps == trained.result.steps


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_two_sessions_are_trained_on_and_validated_on_markets_of_their_own(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    sessions = [small_session(store, name, seed=seed) for name, seed in (("one", 1), ("two", 2))]
    settings = TrainSettings(
        rows=16, batch=BATCH, minibatch=512, epochs=1, steps=2 * BATCH, episode=50, eval_freq=BATCH, sampler="balanced"
    )
    split = SplitSettings(by="event", train=0.5, validation=0.25, test=0.25)
    run_dir = tmp_path / "r"
    trained = train_on_sessions(sessions, settings, env=ENV, selection=SUITABLE, split=split, run_dir=run_dir)
    said = load_bundle(trained.result.bundle).manifest.sessions
    assert [(one["id"], one["checksum"]) for one in said] == [(one.id, one.checksum) for one in sessions]
    assert sum(one["markets"] for one in said) == trained.trained_on
    verdicts = (run_dir / "validation.jsonl").read_bytes().splitlines()
    judged = next(one for one in trained.markets if one.part == "validation")
    assert len(verdicts) == 2 and len(judged.tickers) <= len(trained.split.validation)
    assert set(judged.events).isdisjoint(trained.markets[0].events)
