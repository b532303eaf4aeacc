"""What every synthetic session promises, on a slow reference book."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import DOLLAR, PriceGrid
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic import SynthSettings, generate, synthesize
from kalshi_ray.data.synthetic import grid as grid_rules
from kalshi_ray.data.synthetic.layout import GRIDS
from kalshi_ray.data.synthetic.session import run, start
from kalshi_ray.errors import ConfigError
from tests.data.synthetic_books import Generated, generated, moments
from tests.examples import few

REGIMES = ["null", "planted", "planted-maker", "calibrated"]
MIXED = {"planted-maker", "calibrated"}


def small(regime: str, **changes: object) -> SynthSettings:
    """Settings of a session of a few thousand rows."""
    given: dict[str, object] = {"markets": 4, "hours": 0.05, "waves": 1, "regime": regime}
    if regime in MIXED:
        given["uninformed"] = 0.5  # spares the pilot
    return SynthSettings(**(given | changes))  # type: ignore[arg-type]


@st.composite
def any_settings(draw: st.DrawFn) -> SynthSettings:
    """Settings over all regimes, grids, widths and faults of the recording."""
    regime = draw(st.sampled_from(REGIMES))
    return small(
        regime,
        markets=draw(st.integers(1, 5)),
        strikes=draw(st.integers(0, 4)) if regime != "planted" else 0,
        seed=draw(st.integers(0, 2**31)),
        grid=draw(st.sampled_from(["cent", "deci", "tapered", "finest", "mixed"])),
        width_ticks=draw(st.sampled_from([0.0, 0.01, 1.0, 2.0, 40.0])),
        signal_mean_s=draw(st.sampled_from([5.0, 60.0])),
        gaps_per_hour=draw(st.sampled_from([0.0, 100.0])),
        gap_s=draw(st.sampled_from([0.5, 8.0])),
        paused_share=draw(st.sampled_from([0.0, 1.0])),
        pause_s=10.0,
        rescheduled_share=draw(st.sampled_from([0.0, 1.0])),
        settle=draw(st.booleans()),
    )


def check_market(session: Generated, market: int) -> None:
    """The invariants of market-rules.md section 9 on every row of one market."""
    times, chances, signals = session.truth_of(market)
    assert (np.diff(times) > 0).all()
    assert ((chances >= 0) & (chances <= 1)).all()
    quoted = chances - signals * session.shift  # what quotes stand around
    prices = set(GRIDS[int(session.state.markets["grid"][market])].prices.tolist())
    for moment in moments(session.of(market)):
        p = quoted[np.searchsorted(times, moment.exch_ns, side="right") - 1] * DOLLAR
        settled = any(kind == Kind.SETTLEMENT for kind, *_ in moment.rows)
        added = False
        for kind, side, price, size, taker in moment.rows:
            if kind in (Kind.DELTA, Kind.TRADE, Kind.SNAPSHOT_LEVEL):
                assert price in prices
            if kind == Kind.TRADE:
                assert size > 0 and taker == 1 - side
                assert not added, "a print after an add of the same moment"
            if kind == Kind.DELTA and size > 0:
                added = True
                assert (p - price) * (1 - 2 * side) > 0, "an add on the wrong side of p"
        if moment.known and not settled:
            assert moment.bid < p < moment.ask


@given(any_settings())
@settings(derandomize=True, max_examples=few(25, many=100), deadline=None)
def test_no_level_is_ever_on_the_wrong_side_of_p_and_no_book_is_crossed_or_negative(choice: SynthSettings) -> None:
    session = generated(choice)
    for market in range(choice.markets):
        check_market(session, market)


@given(any_settings())
@settings(derandomize=True, max_examples=few(15, many=60), deadline=None)
def test_rows_arrive_in_order_and_every_frame_has_the_next_number_of_its_subscription(choice: SynthSettings) -> None:
    rows = generated(choice).rows
    assert (np.diff(rows["recv_ns"]) >= 0).all()
    assert (np.diff(rows["exch_ns"]) >= 0).all()
    assert (rows["recv_ns"] - rows["exch_ns"] >= choice.feed_ms * 1e6).all()
    assert (rows["exch_ns"] % 1000 == 0).all()
    is_gap = rows["kind"] == Kind.GAP
    for sid in (1, 2, 3):
        mine = (rows["sid"] == sid) & ~is_gap
        seq, market, kind = (rows[name][mine] for name in ("seq", "market", "kind"))
        step = np.diff(seq)
        one_frame = (kind[:-1] == Kind.SNAPSHOT_LEVEL) & (np.diff(market) == 0)
        assert (step[one_frame] == 0).all()
        jumps = np.flatnonzero(step[~one_frame] != 1)
        assert len(jumps) <= (int(is_gap.sum()) if sid == 1 else 0)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_same_seed_gives_the_same_bytes_whatever_the_batches_and_another_seed_others(regime: str) -> None:
    def digest(seed: int, batch_rows: int) -> str:
        found = [hashlib.sha256(), hashlib.sha256()]
        columns: list[dict[str, bytes]] = [{}, {}]
        for tables in generate(small(regime, seed=seed), batch_rows=batch_rows):
            for part, table in zip(columns, tables):
                for name in table.column_names:
                    part[name] = part.get(name, b"") + table[name].to_numpy().tobytes()
        for hashed, part in zip(found, columns):
            hashed.update(b"".join(part.values()))
        return "".join(hashed.hexdigest() for hashed in found)

    assert digest(3, 1 << 16) == digest(3, 1_000)
    assert digest(3, 1 << 16) != digest(4, 1 << 16)


def test_compiled_and_plain_kernels_write_the_same_rows() -> None:
    code = """
import hashlib, warnings
warnings.simplefilter("ignore")  # wrapping of 64 bits is the point of the generator
from kalshi_ray.data.synthetic import SynthSettings, generate
found = hashlib.sha256()
for regime in ("null", "planted", "planted-maker", "calibrated"):
    mixed = {"uninformed": 0.5} if regime in ("planted-maker", "calibrated") else {}
    made = SynthSettings(regime=regime, markets=4, hours=0.02, waves=1, gaps_per_hour=200, gap_s=1, paused_share=1,
                         pause_s=3, rescheduled_share=1, signal_mean_s=10, **mixed)
    for tables in generate(made):
        for table in tables:
            for column in table.columns:
                found.update(column.to_numpy().tobytes())
print(found.hexdigest())
"""
    digests = set()
    for disabled in ("0", "1"):
        environ = os.environ | {"NUMBA_DISABLE_JIT": disabled}
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run([sys.executable, "-c", code], env=environ, cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout.strip())
    assert len(digests) == 1


@pytest.mark.parametrize("regime", REGIMES)
def test_a_market_begins_with_its_snapshot_and_ends_with_its_result(regime: str) -> None:
    session = generated(small(regime, waves=2))
    for market in range(session.settings.markets):
        rows = session.of(market)
        kinds = rows["kind"].tolist()
        assert kinds[0] == Kind.SNAPSHOT_LEVEL
        assert Kind.SNAPSHOT_END in kinds
        assert kinds[-1] == Kind.SETTLEMENT
        assert rows["price"][-1] in (0, DOLLAR)
        assert session.truth_of(market)[1][-1] * DOLLAR == rows["price"][-1]
        status = rows["size"][rows["kind"] == Kind.STATUS].tolist()
        assert status == [Status.CLOSED, Status.DETERMINED]


def test_without_settling_no_result_is_written() -> None:
    session = generated(small("null", settle=False))
    assert Kind.SETTLEMENT not in session.rows["kind"].tolist()


@pytest.mark.parametrize("regime", REGIMES)
def test_books_are_ten_to_forty_levels_deep_where_the_price_allows(regime: str) -> None:
    session = generated(small(regime))
    for market in range(session.settings.markets):
        for moment in moments(session.of(market)):
            if moment.bid > 3_500 and moment.ask < 6_500:
                assert 10 <= min(moment.depth) <= max(moment.depth) <= 40


def test_waves_do_not_overlap_and_events_of_one_wave_share_no_time_with_the_next() -> None:
    state = start(small("null", markets=12, waves=4))
    opens, settles = state.events["times"][:, 0].reshape(4, 3), state.events["times"].max(axis=1).reshape(4, 3)
    assert (settles.max(axis=1)[:-1] < opens.min(axis=1)[1:]).all()


def test_a_pause_is_silent_and_starts_with_a_new_book() -> None:
    session = generated(small("null", hours=0.2, paused_share=1.0, pause_s=20.0))
    for market in range(session.settings.markets):
        rows = session.of(market)
        is_status = np.flatnonzero(rows["kind"] == Kind.STATUS)
        pause, resume = is_status[:2]
        assert rows["size"][pause] == Status.INACTIVE
        assert rows["size"][resume] == Status.ACTIVE
        between = rows["exch_ns"][pause + 1 : resume]
        assert set(between.tolist()) <= {int(rows["exch_ns"][resume])}
        after = rows["exch_ns"] == rows["exch_ns"][resume]
        assert (rows["size"][after & (rows["kind"] == Kind.DELTA)] < 0).any()


def test_a_moved_close_is_announced_by_a_row_and_unknown_before() -> None:
    session = generated(small("null", rescheduled_share=1.0))
    shown = session.state.table["close_ns"].to_numpy()
    for market in range(session.settings.markets):
        rows = session.of(market)
        moved = rows["size"][rows["kind"] == Kind.SCHEDULE]
        closed = rows["exch_ns"][(rows["kind"] == Kind.STATUS) & (rows["size"] == Status.CLOSED)]
        assert len(moved) == 1
        assert abs(int(moved[0]) - int(closed[0])) < 1e9
        assert abs(int(shown[market]) - int(moved[0])) > 1e9


def test_a_gap_loses_book_rows_and_ends_with_a_snapshot_of_every_open_market() -> None:
    session = generated(small("null", hours=0.2, gaps_per_hour=60.0, gap_s=5.0))
    rows = session.rows
    gaps = np.flatnonzero(rows["kind"] == Kind.GAP)
    assert len(gaps) > 0
    for gap in gaps:
        begin = rows["exch_ns"][gap]
        inside = (rows["exch_ns"] > begin) & (rows["exch_ns"] < begin + 5_000_000_000)
        assert not np.isin(rows["kind"][inside], [Kind.DELTA, Kind.SNAPSHOT_LEVEL]).any()


def test_print_and_decrease_come_in_either_order_with_equal_size_at_one_time() -> None:
    session = generated(small("planted-maker", hours=0.2))
    rows = session.rows
    orders = set()
    for at in np.flatnonzero(rows["kind"] == Kind.TRADE):
        near = [at - 1, at + 1]
        pair = [
            n
            for n in near
            if rows["kind"][n] == Kind.DELTA
            and rows["size"][n] == -rows["size"][at]
            and rows["price"][n] == rows["price"][at]
            and rows["exch_ns"][n] == rows["exch_ns"][at]
        ]
        assert pair
        orders.add(pair[0] < at)
    assert orders == {True, False}


@pytest.mark.parametrize("code", range(len(GRIDS)))
def test_price_arithmetic_agrees_with_the_list_of_prices(code: int) -> None:
    grid: PriceGrid = GRIDS[code]
    prices = grid.prices
    assert grid_rules.levels_of(code) == len(prices)
    assert [grid_rules.price_at(code, tick) for tick in range(len(prices))] == prices.tolist()
    assert grid_rules.price_at(code, -1) == 0
    assert grid_rules.price_at(code, len(prices)) == DOLLAR
    for ppm in [-5, 0, 1, 99, 100, 12_345, 99_999, 100_000, 100_100, 899_950, 900_050, 999_899, 1_000_000, 2_000_000]:
        floor, ceil = grid_rules.floor_tick(code, ppm), grid_rules.ceil_tick(code, ppm)
        assert floor == int(np.searchsorted(prices * 100, ppm, side="right")) - 1
        assert ceil == int(np.searchsorted(prices * 100, ppm, side="left"))


def test_strikes_of_an_event_sum_to_at_most_one_and_mirrors_to_one() -> None:
    session = generated(small("calibrated", markets=40, hours=0.5))
    events = session.state.events
    for event in events:
        members = range(int(event["first"]), int(event["first"] + event["strikes"]))
        truths = [session.truth_of(market)[:2] for market in members]
        for at in np.linspace(int(event["opened"]) + 1, int(event["close"]), 20):
            total = sum(p[np.searchsorted(times, at, side="right") - 1] for times, p in truths)
            assert total <= 1 + 1e-9
            if len(members) == 2:
                assert total == pytest.approx(1.0)
            elif len(members) > 2:
                assert total > 0.9


def test_a_session_is_written_with_truth_settings_and_counts(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    made = small("planted")
    seen: list[tuple[str, int, int]] = []
    manifest = synthesize(store, "first", made, progress=lambda *step: seen.append(step))
    session = store.open("first")
    session.verify_checksums()
    expected = generated(made)
    assert manifest.updates == len(expected.rows["kind"])
    assert session.updates()["seq"].to_numpy().tolist() == expected.rows["seq"].tolist()
    assert session.truth()["p"].to_numpy().tolist() == expected.truth["p"].tolist()
    assert manifest.has_truth
    assert manifest.origin["settings"]["seed"] == made.seed
    assert seen and seen[-1][1] <= seen[-1][2]


@pytest.mark.parametrize("regime", ["null", "planted"])
def test_a_wanted_number_of_updates_is_met_within_a_fifth(regime: str) -> None:
    made = SynthSettings(regime=regime, markets=60, updates=150_000)  # type: ignore[arg-type]
    found = sum(batch.num_rows for batch, _ in run(start(made)))
    assert found == pytest.approx(150_000, rel=0.2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"markets": 0}, "markets = 0"),
        ({"theta": 0.4}, "theta"),
        ({"updates": 10, "hours": 1.0}, "both"),
        ({"regime": "planted", "strikes": 3}, "strikes"),
        ({"regime": "null", "uninformed": 0.3}, "uninformed"),
        ({"markets": 2, "waves": 3}, "waves"),
        ({"jump_cents": 15, "regime": "planted"}, "jump_cents"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SynthSettings(**changes)  # type: ignore[arg-type]
