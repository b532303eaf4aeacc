"""The benchmarks: the table judges by its bounds, every promised figure is in it, and time is taken fairly."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import numpy as np
import pytest

from bench import __main__ as table
from bench.__main__ import found, judged, line, main, measured
from bench.figures import Absent, Figure, Measured, amount, in_turns
from bench.machine import called, on_one_core, timed
from bench.playing import chosen, record_game, record_single_game
from bench.replays import Ours, chunk_ends, passing
from bench.streams import DEPTH_EVENT, EXCHANGE, LOCAL, Stream, streams_of
from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.synthetic.session import run, start
from kalshi_ray.data.views import build_pack_from_tables
from kalshi_ray.env.settings import EnvSettings

# What is promised, and nothing that is promised may lose its bound.
PROMISED = {
    "vector env, obs54 + mask + matching, 64 rows": "≥ 800 k",
    "MarketEnv, plain Gymnasium": "≥ 100 k",
    "replay, book and queue": "≥ 30 M, ≥ 1.5 × peer",
    "synthetic generation with Parquet": "≥ 2 M",
    "views from Parquet, warm": "≥ 3 M",
    "start of an episode anywhere, median": "≤ 1",
    "start of an episode anywhere, p99": "≤ 1",
    "views in the object store": "≤ 24",
    "copies of the views on a node, 4 runners": "≤ 1.1",
    "1, 10, 100, 1,000 markets: slowest time a step": "≤ 1.6 × peer",
    "PPO, documents, one thread": "≥ 0.95 × peer",
    "PPO, documents, two threads": "≥ 0.85 × peer",
    "PPO, documents, beside RLlib": "≥ 3 × peer",
    "PPO, documents, beside SB3": "≥ 1.7 × peer",
    "sampling, one env runner in process": "≥ 200 k",
    "sampling, two remote env runners": "≥ 300 k",
    "time to 60 % of the oracle's edge, preset fast": "≤ 0.5 × peer",
    "time to 60 % of the oracle's edge, documents": "≤ 0.25 × peer",
    "evaluation, 1,000 market-episodes": "≥ 300 k",
    "bundle, loaded and verified": "≤ 150",
    "one decision in process": "≤ 50",
    "resume, to the first new iteration": "≤ 15",
    "feed, bytes to books and rows": "≥ 400 k, ≥ 3 × peer",
    "simulator, orders placed and cancelled": "≥ 5 k",
    "simulator, flow to frames": "≥ 50 k",
    "simulator over HTTP, orders placed and cancelled": "≥ 500",
    "simulator, replay through a WebSocket": "≥ 50 k",
    "postgres, updates written": "≥ 500 k",
    "postgres, views loaded": "≥ 1 M",
    "collector, one connection to disk for a minute": "≥ 50 k",
    "collector, memory at the end of the minute over that after a part": "≤ 1.1",
    "collector, 1,000 markets, an hour at 60 times its pace: memory": "≤ 1.1",
    "collector, 1,000 markets, an hour at 60 times its pace: an update": "≤ 12",
    "quickstart, nothing cached": "≤ 150",
    "quickstart, training steps": "≥ 1 M",
    "quickstart, share of the oracle's edge": "≥ 0.4",
}


def figure(**bounds: float) -> Figure:
    return Figure(name="steps", unit="1/s", measure=lambda: Measured(100.0, 50.0), **bounds)  # type: ignore[arg-type]


def listed(monkeypatch: pytest.MonkeyPatch, figures: list[Figure], *options: str) -> int:
    monkeypatch.setattr(table, "found", lambda: figures)
    monkeypatch.setattr("sys.argv", ["bench", *options])
    return main()


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ({}, "shown"),
        ({"floor": 100.0}, "pass"),
        ({"floor": 101.0}, "FAIL"),
        ({"ceiling": 99.0}, "FAIL"),
        ({"floor": 1.0, "ratio_floor": 2.0}, "pass"),
        ({"floor": 1.0, "ratio_floor": 2.1}, "FAIL"),
        ({"ratio_ceiling": 1.9}, "FAIL"),
    ],
)
def test_a_figure_passes_only_when_every_bound_is_kept(bounds: dict[str, float], verdict: str) -> None:
    assert figure(**bounds).verdict(Measured(100.0, 50.0)) == verdict


def test_a_ratio_bound_without_a_peer_fails() -> None:
    assert figure(ratio_floor=1.0).verdict(Measured(100.0)) == "FAIL"


def test_a_broken_benchmark_is_a_failure_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> Measured:
        raise ValueError("no peer")

    broken = Figure(name="broken", unit="s", measure=fail, ceiling=1.0)
    assert line(broken, *measured(broken))[-1] == "FAIL ValueError: no peer"


@pytest.mark.parametrize(("bounds", "verdict"), [({}, "shown"), ({"floor": 1.0}, "FAIL")])
def test_what_is_absent_is_said_and_fails_only_where_something_was_promised(
    bounds: dict[str, float], verdict: str
) -> None:
    def nothing() -> Measured:
        raise Absent("no recorded data")

    missing = Figure(name="import", unit="1/s", measure=nothing, **bounds)  # type: ignore[arg-type]
    result, problem = measured(missing)
    assert judged(missing, result, problem) == verdict
    assert line(missing, result, problem)[-1] == f"{verdict} absent: no recorded data"


def test_every_promised_figure_is_listed_with_its_bound() -> None:
    assert {figure.name: figure.bounds for figure in found() if figure.name in PROMISED} == PROMISED


def test_names_of_figures_are_unique() -> None:
    names = [figure.name for figure in found()]
    assert len(names) == len(set(names))


def test_the_list_measures_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    broken = Figure(name="never", unit="s", measure=lambda: pytest.fail("was measured"), ceiling=1.0)
    assert listed(monkeypatch, [broken], "--list") == 0
    assert capsys.readouterr().out == "never  ≤ 1\n"


def test_training_is_left_out_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [
        Figure(name=name, unit="s", measure=lambda: Measured(1.0), long=name == "long") for name in ("a", "long")
    ]
    for options, names in (([], ["a"]), (["--long"], ["a", "long"]), (["--only", "lo"], ["long"])):
        assert listed(monkeypatch, figures, "--list", *options) == 0
        assert [name.strip() for name in capsys.readouterr().out.splitlines()] == names


def test_json_stands_alone_on_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(monkeypatch, [figure(floor=1.0), figure(floor=1e9)], "--json") == 1
    records = json.loads(capsys.readouterr().out)
    assert [(record["ours"], record["ratio"], record["verdict"]) for record in records] == [
        (100.0, 2.0, "pass"),
        (100.0, 2.0, "FAIL"),
    ]


def test_an_unknown_name_is_wrong_use(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(monkeypatch, [figure()], "--only", "nothing like it") == 2
    assert "no figure named 'nothing like it'" in capsys.readouterr().err


def test_medians_are_taken_in_turns() -> None:
    taken: list[str] = []

    def side(name: str) -> float:
        taken.append(name)
        return float(len(taken))

    assert in_turns([lambda: side("a"), lambda: side("b")], repeats=3) == [3.0, 4.0]
    assert taken == ["a", "b"] * 3


def test_works_take_turns_and_preparations_do_not_count() -> None:
    turns: list[str] = []

    def work(name: str) -> Iterator[bool]:
        turns.append(name)
        yield False
        for _ in range(3):
            yield True
        yield False

    first, second = timed(lambda: work("a"), lambda: work("b"), passes=2)
    assert turns == ["a", "b"] * 2
    assert len(first.chunks) == len(second.chunks) == 3
    assert 0 < first.best <= first.median == pytest.approx(first.chunks.sum())


def test_a_slow_moment_of_one_pass_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 1.0, 0.0, 9.0, 9.0, 0.0, 1.0, 1.0])  # three passes of one chunk; the second is disturbed
    monkeypatch.setattr("bench.machine.time.perf_counter", lambda: next(clock))

    def work() -> Iterator[bool]:
        yield True

    [spent] = timed(work, passes=3)
    assert (spent.median, spent.best) == (1.0, 1.0)


def test_a_call_is_timed_a_few_times() -> None:
    calls: list[int] = []
    spent = called(lambda: calls.append(1), repeats=4)
    assert len(calls) == 4
    assert 0 < spent.best <= spent.median


def test_one_core_is_one_core_and_given_back() -> None:
    before = os.sched_getaffinity(0)
    during = on_one_core(lambda: Measured(float(len(os.sched_getaffinity(0)))))()
    assert during.ours == 1.0
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize(("value", "shown"), [(1_520_000, "1.52 M"), (830_000, "830 k"), (0.42, "0.42"), (24, "24")])
def test_amounts_are_short(value: float, shown: str) -> None:
    assert amount(value) == shown


# -- what is measured is what is said


@pytest.fixture(scope="module")
def pack() -> ViewPack:
    """A few calibrated markets."""
    state = start(SynthSettings(regime="calibrated", markets=12, hours=1.0, strikes=1, seed=3, uninformed=0.5))
    batches = [batch for rows, _ in run(state) for batch in rows.to_batches()]
    return build_pack_from_tables(state.table, batches, Manifest(id="bench", source="synthetic"))


def test_play_is_legal_and_mostly_holds() -> None:
    chance = np.random.default_rng(0)
    mask = chance.random((4_000, 21)) < 0.3
    mask[:, 0] = True
    actions = chosen(mask, chance)
    assert mask[np.arange(len(mask)), actions].all()
    assert 0.25 < np.count_nonzero(actions) / len(actions) < 0.35


def test_a_recorded_game_is_the_same_in_every_pass_and_never_refused(pack: ViewPack) -> None:
    game = record_game(pack, EnvSettings(max_decisions=100), rows=8, steps=120, chunk=16)
    ends = []
    for _ in range(2):
        assert sum(game.work()) == -(-120 // 16)
        ends.append(game.env.get_state())
        assert not game.env.rows["refused"].any()
        assert not game.env.take_episodes()["refused"].any()
    assert ends[0]["traders"] == ends[1]["traders"]
    assert game.fills > 0
    assert game.episodes > 0


def test_a_recorded_single_game_is_the_same_in_every_pass(pack: ViewPack) -> None:
    game = record_single_game(pack, EnvSettings(max_decisions=60), steps=200, chunk=20)
    ends = []
    for _ in range(2):
        list(game.work())
        ends.append(game.env.get_state()["row"]["traders"])
        assert not game.env.take_episodes()["refused"].any()
    assert ends[0] == ends[1]
    assert game.steps == 200 - game.actions.count(None)


@pytest.fixture(scope="module")
def streams(pack: ViewPack) -> list[Stream]:
    return streams_of(pack, 4, changes=5)


def test_streams_hold_book_changes_and_prints_alone(streams: list[Stream]) -> None:
    assert streams
    for stream in streams:
        assert set(np.unique(stream.updates["kind"])) <= {
            Kind.SNAPSHOT_LEVEL,
            Kind.SNAPSHOT_END,
            Kind.DELTA,
            Kind.TRADE,
        }
        assert stream.order_changes >= 5


def test_events_are_the_same_stream_with_absolute_sizes(streams: list[Stream]) -> None:
    for stream in streams:
        rows = stream.updates[stream.updates["kind"] != Kind.SNAPSHOT_END]
        assert len(rows) == len(stream.events)
        book: dict[tuple[int, int], int] = {}
        for row, event in zip(rows[:5_000], stream.events[:5_000]):
            assert event["ev"] & EXCHANGE
            assert event["ev"] & LOCAL
            assert event["local_ts"] == row["recv_ns"]
            if event["ev"] & 0xFF != DEPTH_EVENT:
                assert event["qty"] == row["size"]
                continue
            key = int(row["flags"] & 1), int(row["tick"])
            book[key] = int(row["size"]) + (book.get(key, 0) if row["kind"] == Kind.DELTA else 0)
            assert event["qty"] == book[key]


def test_both_kinds_of_our_replay_end_with_the_order_at_rest(pack: ViewPack, streams: list[Stream]) -> None:
    for trader in (False, True):
        seen: list[tuple[int, int] | None] = []
        chunks = sum(passing(Ours(pack, trader=trader), streams, seen))
        assert chunks == sum(len(chunk_ends(stream)) for stream in streams)
        assert all((best is not None) == trader for best in seen)


def test_hftbacktest_ends_with_the_same_books(pack: ViewPack, streams: list[Stream]) -> None:
    pytest.importorskip("hftbacktest", reason="needs the extra `bench`")
    from bench.replays import Theirs

    here: list[tuple[int, int] | None] = []
    there: list[tuple[int, int] | None] = []
    list(passing(Ours(pack, trader=True), streams, here))
    list(passing(Theirs(pack, trader=True), streams, there))
    assert here == there
