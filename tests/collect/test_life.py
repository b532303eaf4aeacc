"""The desk's line: lives of markets become rows where the tape says else, changes for the universe, and facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_ray.collect.block import DESK, SIDS
from kalshi_ray.collect.life import CHANGES_MOST, LifeLine, life_settings
from kalshi_ray.collect.market_facts import market_facts
from kalshi_ray.collect.rebuild import compare_with_raw
from kalshi_ray.collect.register import Register, Signal
from kalshi_ray.core.fees import TAKER_PPM
from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR, SECOND, Side
from kalshi_ray.data.recording import rows_of
from kalshi_ray.data.replay import apply_row, make_replay, start_view, tape_of
from kalshi_ray.data.validate import validate_session
from kalshi_ray.data.views import build_pack, build_pack_from_tables
from kalshi_ray.errors import UnknownName, UsageError
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.replay import Pace, Replay
from kalshi_ray.exchange.simulator.settings import MarketTerms
from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.listing import Event
from kalshi_ray.wire.messages import EventCreated, FeeChange, MarketChange
from tests.collect.collected import BLOCK_NS, Collector, seconds
from tests.collect.course import flow_of
from tests.collect.test_inputs import ODD
from tests.collect.test_register import EVENT, SERIES, cells, market
from tests.data.book_states import reference_states
from tests.exchange.pair import START
from tests.exchange.simulator.serving import A, B, make_surface
from tests.exchange.test_feed import frame, subscribed

NOW = START
TENTHS = ((0, DOLLAR, 10),)


def life(word: str, ticker: str = "A", seq: int = 1, **facts: Any) -> bytes:
    """A frame of the life-cycle channel, sid 1."""
    return frame("market_lifecycle_v2", {"market_ticker": ticker, "event_type": word} | facts, sid=1, seq=seq)


class Talk:
    """A desk's line that is subscribed, with the markets A and B of one event."""

    def __init__(self, settings: FeedSettings | None = None) -> None:
        chosen = settings or life_settings(combos=False)
        self.line, self.now = LifeLine(DESK, chosen, Register(), raw=True, block_ns=BLOCK_NS), NOW
        for ticker in ("A", "B"):
            self.line.enter(market_facts(market(ticker), EVENT, SERIES), NOW)
        self.line.connect(NOW)
        self.hear(subscribed(1, 1, "market_lifecycle_v2"))
        self.line.take_doubt()

    def hear(self, *frames: bytes) -> list[tuple[str, int, int]]:
        """Frames come; (kind, price, size) of the rows that they make."""
        self.now += SECOND
        blocks = [block for raw in frames for block in self.line.receive(raw, self.now)] + self.line.flush(self.now)
        rows = np.concatenate([block.rows for block in blocks])
        assert not rows["seq"].any() and (rows["recv_ns"] == self.now).all()
        return [(kind, price, size) for _, kind, price, size in cells(rows)]


# -- frames


def test_steps_of_a_life_become_rows_of_markets_with_numbers_once() -> None:
    talk = Talk()
    assert talk.hear(life("deactivated", is_deactivated=True), life("deactivated", "C", 2)) == [
        ("STATUS", 0, Status.INACTIVE)
    ]
    assert talk.hear(life("deactivated", seq=3)) == []
    assert talk.hear(life("close_date_updated", seq=4, close_ts=START // SECOND)) == [("SCHEDULE", 0, START)]
    grid = [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}]
    assert talk.hear(life("price_level_structure_updated", seq=5, price_ranges=grid)) == [("GRID", 0, 0)]
    fees = {"event_ticker": "E", "fee_type_override": None, "fee_multiplier_override": 0.5}
    half = ("FEE", 0, TAKER_PPM // 2)
    assert talk.hear(frame("event_fee_update", fees, sid=1, seq=6)) == [half, half], "of each market of the event"
    ends = life("determined", seq=7, result="yes", settlement_value="1.0000"), life("settled", seq=8)
    assert talk.hear(*ends) == [
        ("STATUS", 0, Status.DETERMINED), ("SETTLEMENT", DOLLAR, 0), ("STATUS", 0, Status.FINALIZED),
    ]  # fmt: skip
    assert talk.line.register.facts.grids == (TENTHS,)


def test_the_universe_hears_of_every_market() -> None:
    talk = Talk()
    talk.hear(life("created", "new", additional_metadata={"event_ticker": "N"}), life("settled", "A", 2))
    born = frame("event_lifecycle", {"event_ticker": "N", "series_ticker": "S"}, sid=1, seq=3)
    talk.hear(born)
    changes = talk.line.take_changes()
    assert [(type(one), getattr(one, "ticker", "")) for one in changes] == [
        (MarketChange, "new"),
        (MarketChange, "A"),
        (EventCreated, ""),
    ]
    assert talk.line.take_changes() == []


def test_changes_that_nobody_takes_do_not_pile_up_and_that_is_a_doubt() -> None:
    talk = Talk()
    talk.line._changes.extend([MarketChange(ticker="x", change="created")] * CHANGES_MOST)
    talk.hear(life("settled"))
    assert len(talk.line.take_changes()) == CHANGES_MOST and "than were taken" in talk.line.take_doubt()


def test_what_may_be_missing_is_a_doubt() -> None:
    talk = Talk()
    assert talk.line.take_doubt() == ""
    talk.hear(life("settled", "C", 1), life("settled", "C", 3))
    assert talk.line.take_doubt() == "frames are missing" and talk.line.take_doubt() == ""
    talk.hear(b"nonsense")
    assert talk.line.take_doubt() == "frames are missing"
    talk.line.lost(talk.now)
    assert talk.line.take_doubt() == "", "there is no use in asking yet"
    talk.line.connect(talk.now)
    talk.hear(subscribed(1, 1, "market_lifecycle_v2"))
    assert talk.line.take_doubt() == "the stream was not there until now"


def test_whatever_comes_is_kept_and_told() -> None:
    talk = Talk()
    talk.hear(*ODD, frame("event_parade", {"day": 1}, sid=1, seq=1), life("deactivated", seq=2))
    told = [one.what for one in talk.line.take_happenings()]
    assert told.count("Broken") > 20 and told.count("Unknown") == 1
    assert talk.line.counts["unknown type event_parade"] == 1
    assert talk.line.register.known[0].told.status == Status.INACTIVE


@pytest.mark.parametrize("time", [-1, 10**12, 10**15, 10**18, 2**63 - 1])
def test_times_that_cannot_be_are_no_rows(time: int) -> None:
    talk = Talk()
    frames = life("close_date_updated", close_ts=time), life("deactivated", seq=2, ts_ms=time)
    assert [kind for kind, *_ in talk.hear(*frames)] in ([], ["STATUS"])
    assert talk.line.register.counts["closes that are none"] + talk.line.counts["broken frames"] >= 1


# -- what it is told


def test_what_rest_says_and_signals_are_rows_without_a_sid() -> None:
    talk = Talk()
    assert talk.line.listed(market("A", status="closed"), talk.now) == 1
    assert talk.line.listed(market("A", status="closed"), talk.now) == 0
    assert talk.line.fees_listed(Event(ticker="E", series="S", multiplier_ppm=0), talk.now) == 2
    talk.line.signal(Signal(name="rain", value=1.5), talk.now)
    (block,) = talk.line.flush(talk.now)
    assert [(kind, size) for _, kind, _, size in cells(block.rows)] == [
        ("STATUS", Status.CLOSED), ("FEE", 0), ("FEE", 0), ("SIGNAL", 1_500_000),
    ]  # fmt: skip
    assert set(block.rows["sid"].tolist()) == {0}
    with pytest.raises(UnknownName):
        talk.line.signal(Signal(name="rain", value=1, ticker="C"), talk.now)


def test_rows_of_the_stream_are_on_the_desks_channel() -> None:
    talk = Talk()
    (block,) = [*talk.line.receive(life("deactivated"), talk.now), *talk.line.flush(talk.now)][:1]
    assert set(block.rows["sid"].tolist()) == {DESK * SIDS + 4}


def test_a_desk_follows_lives_alone() -> None:
    with pytest.raises(UsageError, match="orderbook_delta"):
        LifeLine(DESK, FeedSettings(channels=(Channel.BOOK,)), Register(), raw=True, block_ns=1)
    assert life_settings(combos=True).channels == (Channel.LIFECYCLE, Channel.COMBO_LIFECYCLE)


# -- a market's life, recorded


def record_life(tmp_path: Path) -> tuple[Any, dict[str, int]]:
    """A market that moves its close, changes its grid, pauses, reopens, changes its fees and settles; when each was."""
    surface = make_surface(START, replay=Replay(flow_of(5, 900), Pace(0, START, 1)))
    exchange, when = surface.exchange, dict[str, int]()
    collector = Collector(surface, tmp_path)
    collector.open(A, B)

    def happens(name: str, after_s: float, what: Any) -> None:
        collector.wait(after_s)
        when[name] = collector.now_ns
        exchange.apply_flow(what, collector.now_ns)

    happens("close", 1, MarketChange(ticker=A, change="", close_ns=seconds(9_000)))
    happens("grid", 1, MarketChange(ticker=A, change="", ranges=TENTHS))
    exchange.apply_flow(FlowDelta(ticker=A, side=Side.BID, price=46 * CENT + 30, change=7 * CONTRACT), collector.now_ns)
    happens("pause", 1, MarketChange(ticker=A, change="", status=Status.INACTIVE))
    happens("reopen", 1, MarketChange(ticker=A, change="", status=Status.ACTIVE))
    happens("fees", 1, FeeChange(event="KXA-26", fee_type="quadratic", multiplier_ppm=500_000))
    happens("settle", 1, MarketChange(ticker=A, change="", value=DOLLAR))
    collector.wait(1)
    assert collector.refresh(A, B) == 0, "the stream said it all"
    return collector.finish(), when


def test_a_life_becomes_rows_of_the_tape_each_once_and_not_before_it_happened(tmp_path: Path) -> None:
    session, when = record_life(tmp_path)
    rows = rows_of(session.updates())
    of_a = rows[(rows["market"] == 0) & (rows["kind"] > Kind.GAP)]
    found = [(Kind(int(row["kind"])).name, int(row["price"]), int(row["size"])) for row in of_a]
    assert found == [
        ("SCHEDULE", 0, seconds(9_000)), ("GRID", 0, 0), ("STATUS", 0, Status.INACTIVE), ("STATUS", 0, Status.ACTIVE),
        ("FEE", 0, TAKER_PPM // 2), ("STATUS", 0, Status.DETERMINED), ("SETTLEMENT", DOLLAR, 0),
        ("STATUS", 0, Status.FINALIZED),
    ]  # fmt: skip
    names = ["close", "grid", "pause", "reopen", "fees", "settle", "settle", "settle"]
    for row, name in zip(of_a, names, strict=True):
        assert 0 < row["recv_ns"] - when[name] <= SECOND // 10
    assert [Kind(int(k)).name for k in rows["kind"][(rows["market"] == 1) & (rows["kind"] > Kind.GAP)]] == ["FEE"]
    joined = session.markets().to_pylist()[0]
    assert (joined["close_ns"], joined["status"], len(joined["price_ranges"])) == (0, Status.ACTIVE, 1)
    report = validate_session(session)
    assert report.is_valid, [str(finding) for finding in report.findings]
    assert compare_with_raw(session) is None


def test_a_view_shows_each_change_only_from_its_time_on(tmp_path: Path) -> None:
    session, when = record_life(tmp_path)
    pack = build_pack_from_tables(session.markets(), session.updates(), session.manifest)
    view = pack.tickers.index(A)
    states = reference_states(pack, view)
    updates = pack.updates[pack.views["start"][view] : pack.views["stop"][view]]
    before = {name: states[int(np.searchsorted(updates["recv_ns"], at, side="right"))] for name, at in when.items()}
    after = {name: states[int(np.searchsorted(updates["recv_ns"], at + SECOND // 2))] for name, at in when.items()}
    assert (before["close"]["close_ns"], after["close"]["close_ns"]) == (0, seconds(9_000))
    grids = [pack.grids[state["grid"]].sum() for state in (before["grid"], after["grid"])]
    assert grids == [99, 999]
    status = [
        before["pause"]["status"],
        after["pause"]["status"],
        before["reopen"]["status"],
        after["reopen"]["status"],
    ]
    assert status == [Status.ACTIVE, Status.INACTIVE, Status.INACTIVE, Status.ACTIVE]
    assert (before["fees"]["fees"][0], after["fees"]["fees"][0]) == (TAKER_PPM, TAKER_PPM // 2)
    settled = updates["recv_ns"][updates["kind"] == Kind.SETTLEMENT]
    assert len(settled) == 1 and settled[0] > when["settle"] and before["settle"]["status"] == Status.ACTIVE


def test_what_happened_while_the_desk_was_cut_off_comes_from_rest(tmp_path: Path) -> None:
    surface = make_surface(START)
    collector = Collector(surface, tmp_path)
    collector.open(A, B)
    collector.wait(0.5)
    collector.desk.take_doubt()
    collector.cut(DESK)
    surface.exchange.set_status(A, Status.INACTIVE, collector.now_ns)
    surface.exchange.settle_at(B, 2_500, collector.now_ns)
    collector.wait(0.5)
    assert collector.desk.take_doubt() == ""
    collector.dial(DESK)
    collector.wait(0.5)
    assert collector.desk.take_doubt()
    assert collector.refresh(A, B) == 3 and collector.refresh(A, B) == 0
    rows = rows_of(collector.finish().updates())
    life_rows = rows[(rows["kind"] > Kind.GAP)]
    assert [(row["market"], Kind(int(row["kind"])).name, row["price"], row["size"]) for row in life_rows] == [
        (0, "STATUS", 0, Status.INACTIVE), (1, "STATUS", 0, Status.FINALIZED), (1, "SETTLEMENT", 2_500, 0),
    ]  # fmt: skip


def test_a_market_that_comes_to_be_while_recording_joins_and_is_whole(tmp_path: Path) -> None:
    surface = make_surface(START)
    collector = Collector(surface, tmp_path)
    number = collector.open(A)
    collector.wait(0.5)
    surface.exchange.open_market(MarketTerms(ticker="KXA-26-T3", event="KXA-26", series="KXA"))
    collector.wait(0.5)
    created = [one.ticker for one in collector.desk.take_changes() if isinstance(one, MarketChange)]
    assert created == ["KXA-26-T3"]
    collector.line(number).join(collector.enter(*created), collector.tick())
    collector.wait(0.5)
    surface.exchange.apply_flow(
        FlowDelta(ticker="KXA-26-T3", side=Side.BID, price=5 * CENT, change=CONTRACT), collector.now_ns
    )
    collector.wait(0.5)
    session = collector.finish()
    rows = rows_of(session.updates())
    kinds = [Kind(int(kind)).name for kind in rows["kind"][rows["market"] == 1]]
    assert session.tickers() == [A, "KXA-26-T3"] and kinds == ["SNAPSHOT_END", "DELTA"]


# -- in the environment's core


@pytest.mark.parametrize("seed", range(3))
def test_a_recorded_session_replays_with_the_exchanges_books(tmp_path: Path, seed: int) -> None:
    surface = make_surface(START, replay=Replay(flow_of(seed, 500), Pace(0, START, 1)))
    collector, truth = Collector(surface, tmp_path), dict[tuple[str, int], Any]()
    number = collector.open(A, B)
    for step in range(100):
        collector.wait(0.05)
        for ticker in (A, B):
            assert collector.line(number)._feed.books[ticker].known or step < 2
            truth[ticker, collector.now_ns] = surface.exchange.snapshot(ticker)
        if step == 50:
            collector.cut(number)
            collector.dial(number)
            collector.wait(0.2)
    pack = build_pack(collector.finish())
    compared = 0
    for view, ticker in enumerate(pack.tickers):
        room, tape = make_replay(pack.max_levels), tape_of(pack)
        book, state = room.book[0], room.state[0]
        start_view(book, state, tape.axes, tape.views[view])
        at = int(tape.views[view]["start"])
        for (name, now), snapshot in truth.items():
            if name != ticker:
                continue
            while at < tape.views[view]["stop"] and tape.updates[at]["recv_ns"] <= now:
                apply_row(book, state, tape.updates[at], tape.values)
                at += 1
            if book["known"]:
                compared += 1
                sides = [dict(zip(book["prices"].tolist(), sizes.tolist())) for sizes in book["recorded"]]
                levels = [{price: size for price, size in side.items() if size} for side in sides]
                assert levels == [dict(snapshot.bids), dict(snapshot.asks)]
    assert compared > 180
