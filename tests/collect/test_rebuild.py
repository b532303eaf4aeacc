"""A session and its raw lines: the same markets, grids, signals and rows, whatever happened while it was recorded."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from kalshi_ray.collect import inputs
from kalshi_ray.collect.endings import given_up
from kalshi_ray.collect.inputs import Input, note_line, pack
from kalshi_ray.collect.life import life_settings
from kalshi_ray.collect.rebuild import SLACK_NS, Difference, Rebuilding, compare_with_raw, rebuild_session
from kalshi_ray.collect.register import Signal
from kalshi_ray.core.units import DOLLAR, SECOND
from kalshi_ray.data.recording import rows_of, table_of
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import open_store
from kalshi_ray.data.validate import validate_session
from kalshi_ray.errors import NothingToDo, SessionDamaged
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.exchange.simulator.faults import FaultPlan, Faults
from kalshi_ray.exchange.simulator.replay import Pace, Replay
from kalshi_ray.exchange.simulator.surface import Surface
from kalshi_ray.wire.messages import MarketChange
from tests.collect.collected import NAME, Collector
from tests.collect.course import flow_of
from tests.collect.test_recorder_faults import plan_of
from tests.exchange.pair import START
from tests.exchange.simulator.serving import A, B, make_surface

TENTHS = ((0, DOLLAR, 10),)


def surface_of(seed: int, updates: int, plan: FaultPlan | None = None) -> Surface:
    faults = {"faults": Faults(plan)} if plan else {}
    return make_surface(START, replay=Replay(flow_of(seed, updates), Pace(0, START, 1)), **faults)


def record(tmp_path: Path, seed: int, *, is_killed: bool = False, plan: FaultPlan | None = None) -> Session:
    """A few seconds of two markets on two lines, with signals, changes and looks at REST in between."""
    chance, surface = random.Random(seed), surface_of(seed, 600, plan)
    collector = Collector(surface, tmp_path)
    collector.open(A)
    second = collector.open(B)
    for step in range(60):
        collector.wait(0.1)
        if step == 25 and is_killed:
            collector.kill()
            collector = Collector(surface, tmp_path, now_ns=collector.now_ns - SECOND)
            assert collector.is_resumed
            second = collector.open(A, B)
        luck = chance.random()
        if luck < 0.1:
            collector.desk.signal(
                Signal(name=chance.choice("xy"), value=luck, ticker=chance.choice((A, None))), collector.tick()
            )
        elif luck < 0.2:
            close = MarketChange(ticker=B, change="close_date_updated", close_ns=START + step * 1_000 * SECOND)
            surface.exchange.apply_flow(close, collector.now_ns)
        elif luck < 0.25:
            grid = MarketChange(ticker=A, change="", ranges=chance.choice((TENTHS, ((0, DOLLAR, 100),))))
            surface.exchange.apply_flow(grid, collector.now_ns)
        elif luck < 0.3:
            collector.refresh(A, B)
        elif luck < 0.35:
            collector.line(second).leave([B], collector.tick())
            collector.line(second).join(collector.enter(B), collector.tick())
    return collector.finish()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("is_killed", [False, True], ids=["one life", "killed and resumed"])
def test_raw_lines_make_the_session_they_belong_to(tmp_path: Path, seed: int, is_killed: bool) -> None:
    plan = plan_of(seed) if seed % 2 else None
    session = record(tmp_path, seed, is_killed=is_killed, plan=plan)
    assert len(session.raw_parts) > 3 and session.manifest.updates > 300
    assert compare_with_raw(session) is None
    store = open_store(str(tmp_path / "store"))
    manifest = rebuild_session(session, store, "again")
    assert manifest.content == session.manifest.content and manifest.kinds == session.manifest.kinds
    again = store.open("again")
    assert compare_with_raw(again) is None, "it keeps the raw lines"
    assert again.updates().equals(session.updates()) and again.markets().equals(session.markets())


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_recorded_session_is_valid(tmp_path: Path, is_killed: bool) -> None:
    session = record(tmp_path, 1, is_killed=is_killed, plan=plan_of(3))
    report = validate_session(session)
    assert report.is_valid, [str(finding) for finding in report.findings]
    assert report.gaps


# -- what differs


def altered(
    tmp_path: Path, session: Session, name: str, rows: np.ndarray[Any, Any] | None = None, **told: Any
) -> Session:
    """The session with other rows or other facts, and the raw lines as they were."""
    store = open_store(str(tmp_path / "store"))
    whole = rows_of(session.updates()) if rows is None else rows
    fields = {"files": {}, "content": "", "id": name, "updates": 0} | told
    with store.writer(name, manifest=msgspec.structs.replace(session.manifest, **fields)) as writer:
        writer.add_markets(session.markets())
        writer.append(table_of(whole))
        for number, part in enumerate(session.raw_parts):
            writer.put_raw(number, session.raw_part(part))
        writer.commit()
    return store.open(name)


def test_the_first_difference_is_named(tmp_path: Path) -> None:
    session = record(tmp_path, 0)
    rows = rows_of(session.updates())
    wrong = rows.copy()
    wrong["price"][40] += 100
    found = compare_with_raw(altered(tmp_path, session, "price", wrong))
    assert found is not None and (found.row, found.what) == (40, "price")
    assert str(found).startswith("row 40, price: recorded (") and "the raw lines make (" in str(found)
    fewer = compare_with_raw(altered(tmp_path, session, "fewer", rows[:-3]))
    assert fewer == Difference(what="number of rows", recorded=f"{len(rows) - 3:,}", rebuilt="more")
    more = compare_with_raw(altered(tmp_path, session, "more", np.concatenate([rows, rows[-1:]])))
    assert more == Difference(what="number of rows", recorded="more", rebuilt=f"{len(rows):,}")
    missing = compare_with_raw(altered(tmp_path, session, "missing", np.delete(rows, 7)))
    assert missing is not None and missing.row == 7
    signals = compare_with_raw(altered(tmp_path, session, "signals", signals=["y", "z"]))
    assert signals == Difference(what="signals", recorded="z", rebuilt="x")


def test_a_session_without_raw_lines_says_so(tmp_path: Path) -> None:
    collector = Collector(surface_of(0, 20), tmp_path, raw=False)
    collector.open(A)
    collector.wait(0.5)
    session = collector.finish()
    for attempt in (compare_with_raw, lambda one: rebuild_session(one, open_store(str(tmp_path / "store")), "again")):
        with pytest.raises(NothingToDo, match="kept no raw lines"):
            attempt(session)
    assert open_store(str(tmp_path / "store")).ids() == [NAME], "nothing is left behind"


# -- lines of many


def test_rows_of_a_moment_stand_by_line_and_then_as_they_came() -> None:
    rebuilding = Rebuilding()
    for line in (9, 2, 5):
        for at in (0, 1):
            rebuilding.add(Input(START + at, line, inputs.Opened(FeedSettings()) if not at else inputs.Quiet()))
        rebuilding.add(Input(START + 1, line, inputs.Joined({"A": line})))
        rebuilding.add(Input(START + 2, line, inputs.Left(["A"])))
    assert rebuilding.finish()["market"].tolist() == [2, 5, 9]


def test_rows_come_out_once_nothing_can_come_before_them() -> None:
    rebuilding = Rebuilding()
    for line in (1, 2):
        rebuilding.add(Input(START, line, inputs.Opened(FeedSettings())))
        rebuilding.add(Input(START, line, inputs.Joined({"A": line})))
    rebuilding.add(Input(START + 5, 1, inputs.Left(["A"])))
    rebuilding.add(Input(START + SLACK_NS + 9, 1, inputs.Quiet()))
    assert len(rebuilding.settle()) == 0, "line 2 is not as far"
    rebuilding.add(Input(START + SLACK_NS + 5, 2, inputs.Quiet()))
    assert len(rebuilding.settle()) == 0, "and a third may have a row at that very time"
    rebuilding.add(Input(START + SLACK_NS + 6, 2, inputs.Quiet()))
    assert rebuilding.settle()["market"].tolist() == [1]
    rebuilding.add(Input(START + 4, 3, inputs.Opened(FeedSettings())))
    rebuilding.add(Input(START + SLACK_NS + 8, 2, inputs.Left(["A"])))
    rebuilding.add(Input(START + SLACK_NS + 9, 2, inputs.GivenUp()))
    assert len(rebuilding.settle()) == 0 and rebuilding.finish()["market"].tolist() == [2, -1]


def test_rows_that_come_too_late_are_named() -> None:
    rebuilding = Rebuilding()
    for line in (1, 2):
        rebuilding.add(Input(START, line, inputs.Opened(FeedSettings())))
        rebuilding.add(Input(START, line, inputs.Joined({"A": line})))
        rebuilding.add(Input(START + 5, line, inputs.Left(["A"])))
        rebuilding.add(Input(START + 2 * SLACK_NS, line, inputs.Quiet()))
    assert len(rebuilding.settle()) == 2
    rebuilding.add(Input(START, 3, inputs.Opened(FeedSettings())))
    rebuilding.add(Input(START, 3, inputs.Joined({"A": 3})))
    rebuilding.add(Input(START + 1, 3, inputs.Left(["A"])))
    with pytest.raises(SessionDamaged, match="rows of line 3 come too late"):
        rebuilding.finish()


def test_a_line_that_was_given_up_ends_in_a_gap_with_its_note() -> None:
    block = given_up(7, START, raw=True)
    assert block.is_last and block.until_ns == START and block.raw_lines == 1
    rebuilding = Rebuilding()
    for one in inputs.read_inputs(block.raw, "here"):
        rebuilding.add(one)
    assert rebuilding.finish().tobytes() == block.rows.tobytes()
    assert given_up(7, START, raw=False).raw == b""


# -- damage


@pytest.mark.parametrize(
    ("notes", "what"),
    [
        ([inputs.Connected()], "line 3 was not opened"),
        ([inputs.Opened(FeedSettings()), inputs.Opened(FeedSettings())], "line 3 opens twice"),
        ([inputs.Opened(FeedSettings()), inputs.Finished(), inputs.Quiet()], "line 3 was not opened"),
        ([inputs.Opened(FeedSettings()), inputs.Signalled("x", 1.0)], "does not belong to a BookLine"),
        ([inputs.Opened(life_settings(combos=False)), inputs.Joined({})], "does not belong to a LifeLine"),
    ],
)
def test_raw_lines_that_cannot_be_are_named(notes: list[inputs.Note], what: str) -> None:
    rebuilding = Rebuilding()
    with pytest.raises(SessionDamaged, match=what):
        for note in notes:
            rebuilding.add(Input(START, 3, note))


def test_raw_lines_that_go_back_in_time_are_named() -> None:
    rebuilding = Rebuilding()
    rebuilding.add(Input(START, 3, inputs.Opened(FeedSettings())))
    with pytest.raises(SessionDamaged, match="goes back in time"):
        rebuilding.add(Input(START - 1, 3, inputs.Quiet()))


def test_a_raw_part_that_is_damaged_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    session = record(tmp_path, 0)
    path = tmp_path / "store" / "sessions" / NAME / session.raw_parts[2]
    path.write_bytes(pack([note_line(inputs.Quiet(), START, 77)]))
    store = open_store(str(tmp_path / "store"))
    with pytest.raises(SessionDamaged, match="line 77"):
        rebuild_session(session, store, "again")
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(SessionDamaged, match="part-00002"):
        rebuild_session(session, store, "again")
    assert store.ids() == [NAME]
