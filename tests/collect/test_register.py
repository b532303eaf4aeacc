"""The desk's register: numbers are given once, and what is told comes back as rows only where the tape said else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.collect.facts import Facts, MarketRow
from kalshi_ray.collect.market_facts import MarketFacts, listed_market, market_facts, status_of
from kalshi_ray.collect.register import SIGNALS_MOST, Register, Signal
from kalshi_ray.core.fees import MAKER_PPM, TAKER_PPM
from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import DOLLAR, SECOND
from kalshi_ray.data.market_table import read_market_table
from kalshi_ray.data.recording import ROW, TapeBuilder
from kalshi_ray.errors import DataError, UnknownName, UsageError
from kalshi_ray.wire.listing import Event, Market, Series
from kalshi_ray.wire.messages import FeeChange, MarketChange

NOW = 1_791_000_000 * SECOND
CENTS, TENTHS = ((0, DOLLAR, 100),), ((0, DOLLAR, 10),)
CLOSE = NOW + 3_600 * SECOND
SERIES = Series(ticker="S", category="Weather", fee_type="quadratic", multiplier_ppm=1_000_000)
EVENT = Event(ticker="E", series="S", category="Climate")


def market(ticker: str = "A", **more: Any) -> Market:
    terms = {"event": "E", "status": "active", "ranges": CENTS, "close_ns": CLOSE} | more
    return Market(ticker=ticker, **terms)


def register(*tickers: str) -> Register:
    made = Register()
    for ticker in tickers or ("A", "B"):
        made.enter(market_facts(market(ticker), EVENT, SERIES))
    return made


def cells(rows: Any) -> list[tuple[int, str, int, int]]:
    """(market, kind, price, size) of rows."""
    assert rows.dtype == ROW
    return [(int(r["market"]), Kind(int(r["kind"])).name, int(r["price"]), int(r["size"])) for r in rows]


def change(word: str, ticker: str = "A", **facts: Any) -> MarketChange:
    return MarketChange(ticker=ticker, change=word, **facts)


# -- markets


def test_numbers_are_given_in_order_and_once() -> None:
    made = register("A", "B")
    assert made.numbers == {"A": 0, "B": 1} and "A" in made and "C" not in made
    assert made.enter(market_facts(market("A"))) == 0 and made.enter(market_facts(market("C"))) == 2


def test_facts_are_given_once_each_and_all_together_whenever_asked() -> None:
    made = register("A", "B")
    assert [row.ticker for row in made.take_facts().markets] == ["A", "B"] and not made.take_facts()
    made.rows_of_change(change("price_level_structure_updated", ranges=TENTHS), NOW)
    made.signal_rows(Signal(name="rain", value=1), NOW)
    assert made.take_facts() == Facts(grids=(TENTHS,), signals=("rain",))
    assert len(made.facts.markets) == 2 and made.facts.grids == (TENTHS,)
    read_market_table(made.facts.table())


def test_what_is_known_at_the_join_is_the_row_of_the_market_table() -> None:
    event = msgspec.structs.replace(EVENT, fee_type="quadratic_with_maker_fees", multiplier_ppm=500_000)
    facts = market_facts(market(open_ns=7), event, SERIES)
    assert facts.row == MarketRow(
        ticker="A", event="E", series="S", category="Climate", price_ranges=CENTS, fee_multiplier=0.5, open_ns=7,
        fee_type="quadratic_with_maker_fees", close_ns=CLOSE, status=Status.ACTIVE,
    )  # fmt: skip
    assert (facts.series_fee_type, facts.series_multiplier) == ("quadratic", 1.0)
    plain = market_facts(market(), EVENT, SERIES)
    assert (plain.row.fee_type, plain.row.fee_multiplier) == ("quadratic", 1.0)
    bare = market_facts(market(status="resting on a beach"))
    assert bare.row.status == Status.INACTIVE and bare.row.series == "" and bare.row.fee_type == ""


def test_every_state_has_the_exchanges_word() -> None:
    assert all(status_of(status.name.lower()) is status for status in Status) and status_of("paused") is None


def test_a_market_whose_grid_is_none_gets_no_number() -> None:
    made = Register()
    for ranges in ((), ((0, DOLLAR, 0),), ((0, DOLLAR, 7),)):
        with pytest.raises(DataError, match="A: "):
            made.enter(market_facts(market(ranges=ranges)))
    assert not made.numbers and not made.facts


# -- changes


def test_a_step_in_a_markets_life_is_told_once() -> None:
    made = register()
    pause = change("deactivated", "B", status=Status.INACTIVE)
    assert cells(made.rows_of_change(pause, NOW, sid=4)) == [(1, "STATUS", 0, Status.INACTIVE)]
    assert cells(made.rows_of_change(pause, NOW)) == []
    assert cells(made.rows_of_change(change("activated", status=Status.ACTIVE), NOW)) == [], "known at the join"
    end = change(
        "determined", status=Status.DETERMINED, value=DOLLAR, result="yes", close_ns=CLOSE - SECOND, ranges=TENTHS
    )
    assert cells(made.rows_of_change(end, NOW)) == [
        (0, "STATUS", 0, Status.DETERMINED), (0, "SCHEDULE", 0, CLOSE - SECOND), (0, "GRID", 0, 0),
        (0, "SETTLEMENT", DOLLAR, 0),
    ]  # fmt: skip
    assert cells(made.rows_of_change(end, NOW)) == []
    assert cells(made.rows_of_change(change("settled", "unknown", status=Status.FINALIZED), NOW)) == []


def test_rows_say_when_and_on_which_line_and_have_no_number() -> None:
    (row,) = register().rows_of_change(change("deactivated", status=Status.INACTIVE, exch_ns=5), NOW, sid=4)
    assert row.tolist() == (0, NOW, 5, 4, 0, Kind.STATUS, -1, 0, Status.INACTIVE, -1, 0)


def test_a_grid_keeps_its_index_and_one_that_is_none_is_counted() -> None:
    made = register()
    finer, coarser = (change("price_level_structure_updated", ranges=ranges) for ranges in (TENTHS, CENTS))
    found = [cells(made.rows_of_change(one, NOW)) for one in (finer, coarser, coarser, finer)]
    assert found == [[(0, "GRID", 0, 0)], [(0, "GRID", 0, 1)], [], [(0, "GRID", 0, 0)]]
    bad = change("price_level_structure_updated", ranges=((0, DOLLAR, 7),), status=Status.INACTIVE)
    assert cells(made.rows_of_change(bad, NOW)) == [(0, "STATUS", 0, Status.INACTIVE)]
    assert made.grids == [TENTHS, CENTS] and made.counts["price grids that are none"] == 1


def test_a_result_that_is_none_is_counted() -> None:
    made = register()
    assert cells(made.rows_of_change(change("determined", value=DOLLAR + 1), NOW)) == []
    assert made.counts["results that are none"] == 1


def test_created_takes_no_market_back() -> None:
    born = change("created", status=Status.INITIALIZED, open_ns=NOW, close_ns=CLOSE, ranges=CENTS)
    assert cells(register().rows_of_change(born, NOW)) == []


LIVES = st.lists(
    st.builds(
        change,
        st.sampled_from(["activated", "deactivated", "determined", "close_date_updated"]),
        st.sampled_from(["A", "B"]),
        status=st.one_of(st.none(), st.sampled_from(Status)),
        close_ns=st.one_of(st.none(), st.integers(1, 4).map(lambda s: NOW + s * SECOND)),
        ranges=st.one_of(st.none(), st.sampled_from([CENTS, TENTHS])),
        value=st.one_of(st.none(), st.sampled_from([0, DOLLAR])),
    ),
    max_size=12,
)


@given(LIVES)
@settings(max_examples=200)
def test_the_tape_says_what_an_importer_would_say_but_nothing_twice(life: list[MarketChange]) -> None:
    """The rows are those of the importer, less those that repeat what was said last."""
    made, builder = register(), TapeBuilder()
    for at, one in enumerate(life):
        builder.add(one, NOW + at)
    names, last, expected = builder.tickers, dict[tuple[str, int], Any](), []
    for ticker in ("A", "B"):
        last |= {(ticker, Kind.STATUS): Status.ACTIVE, (ticker, Kind.SCHEDULE): CLOSE, (ticker, Kind.GRID): CENTS}
    for row in builder.rows():
        ticker, kind = names[row["market"]], int(row["kind"])
        said = builder.grids[row["size"]] if kind == Kind.GRID else (row["price"] or row["size"])
        if kind == Kind.SETTLEMENT:
            said = int(row["price"])
        if last.get((ticker, kind)) != said:
            last[ticker, kind] = said
            expected.append((made.numbers[ticker], Kind(kind).name, said))
    found = []
    for at, one in enumerate(life):
        for row in made.rows_of_change(one, NOW + at):
            kind = Kind(int(row["kind"]))
            said = made.grids[row["size"]] if kind is Kind.GRID else (row["price"] or row["size"])
            found.append((int(row["market"]), kind.name, int(row["price"]) if kind is Kind.SETTLEMENT else said))
    assert found == expected


# -- what REST says


def test_what_rest_says_else_becomes_rows_once() -> None:
    made = register()
    ended = market(status="finalized", close_ns=CLOSE - SECOND, result="no", settlement_value=0, ranges=TENTHS)
    assert cells(made.rows_of_listing(ended, NOW)) == [
        (0, "STATUS", 0, Status.FINALIZED), (0, "SCHEDULE", 0, CLOSE - SECOND), (0, "GRID", 0, 0),
        (0, "SETTLEMENT", 0, 0),
    ]  # fmt: skip
    assert cells(made.rows_of_listing(ended, NOW)) == [] == cells(made.rows_of_listing(market("unknown"), NOW))
    assert cells(made.rows_of_listing(market("B"), NOW)) == []
    assert cells(made.rows_of_listing(listed_market(market("B", status="closed")), NOW)) == [
        (1, "STATUS", 0, Status.CLOSED)
    ]


def test_what_rest_does_not_say_changes_nothing() -> None:
    made = register()
    assert cells(made.rows_of_listing(market(close_ns=0, ranges=(), status="asleep"), NOW)) == []
    assert made.counts["unknown status asleep"] == 1


@pytest.mark.parametrize(
    ("result", "value", "told"),
    [("yes", None, DOLLAR), ("no", None, 0), ("scalar", None, None), ("scalar", 2_500, 2_500), ("", 5_000, None),
     ("yes", 0, 0)],
)  # fmt: skip
def test_a_result_of_rest_is_what_one_yes_pays(result: str, value: int | None, told: int | None) -> None:
    rows = register().rows_of_listing(market(result=result, settlement_value=value), NOW)
    assert cells(rows) == ([] if told is None else [(0, "SETTLEMENT", told, 0)])


def test_an_answer_that_is_older_than_the_stream_is_left_aside() -> None:
    made = register()
    made.rows_of_change(change("deactivated", status=Status.INACTIVE, exch_ns=NOW + 5 * SECOND), NOW + 6 * SECOND)
    assert cells(made.rows_of_listing(market(updated_ns=NOW + 4 * SECOND), NOW + 7 * SECOND)) == [], "cached"
    assert cells(made.rows_of_listing(market(), NOW + 7 * SECOND, asked_ns=NOW + 6 * SECOND)) == [], "asked before"
    assert made.counts["listings older than the stream"] == 2
    rows = made.rows_of_listing(market(updated_ns=NOW + 7 * SECOND), NOW + 9 * SECOND, asked_ns=NOW + 8 * SECOND)
    assert cells(rows) == [(0, "STATUS", 0, Status.ACTIVE)]


def test_an_answer_that_nobody_can_have_kept_so_long_counts_whatever_it_says_of_its_age() -> None:
    made = register()
    made.rows_of_change(change("settled", status=Status.FINALIZED, exch_ns=NOW), NOW)
    said = market(status="finalized", result="yes", updated_ns=NOW - SECOND)
    assert made.is_older(said, NOW + 59 * SECOND) and not made.is_older(said, NOW + 61 * SECOND)
    assert cells(made.rows_of_listing(said, NOW + 62 * SECOND, NOW + 61 * SECOND)) == [(0, "SETTLEMENT", DOLLAR, 0)]


def test_whole_seconds_of_the_stream_are_what_rest_said_more_exactly() -> None:
    made = register()
    exact = CLOSE + SECOND // 2
    assert cells(made.rows_of_listing(market(close_ns=exact), NOW)) == [(0, "SCHEDULE", 0, exact)]
    assert cells(made.rows_of_change(change("close_date_updated", close_ns=CLOSE), NOW)) == []


# -- fees


def test_fees_of_an_event_are_a_row_of_each_of_its_markets_and_their_end_is_the_series() -> None:
    made = register("A", "B")
    made.enter(market_facts(market("C", event="other"), msgspec.structs.replace(EVENT, ticker="other"), SERIES))
    dear = FeeChange(event="E", fee_type="quadratic_with_maker_fees", multiplier_ppm=500_000)
    half = (TAKER_PPM // 2, MAKER_PPM // 2)
    assert cells(made.rows_of_fees(dear, NOW)) == [(0, "FEE", half[1], half[0]), (1, "FEE", half[1], half[0])]
    assert cells(made.rows_of_fees(dear, NOW)) == []
    over = FeeChange(event="E", fee_type=None, multiplier_ppm=None)
    assert cells(made.rows_of_fees(over, NOW)) == [(0, "FEE", 0, TAKER_PPM), (1, "FEE", 0, TAKER_PPM)]
    assert cells(made.rows_of_fees(FeeChange(event="none", fee_type=None, multiplier_ppm=1), NOW)) == []


def test_an_override_that_stood_at_the_join_ends_in_the_fees_of_the_series() -> None:
    made = Register()
    made.enter(market_facts(market(), msgspec.structs.replace(EVENT, multiplier_ppm=0), SERIES))
    rows = made.rows_of_fees(FeeChange(event="E", fee_type=None, multiplier_ppm=None), NOW)
    assert cells(rows) == [(0, "FEE", 0, TAKER_PPM)]


def test_fees_without_a_formula_are_counted_and_never_guessed() -> None:
    made = register("A")
    assert cells(made.rows_of_fees(FeeChange(event="E", fee_type="flat", multiplier_ppm=None), NOW)) == []
    assert made.counts["fees without a formula: flat x 1"] == 1
    flat = MarketFacts(row=MarketRow(ticker="F", event="F", price_ranges=CENTS, fee_type="flat"))
    made.enter(flat)
    rows = made.rows_of_fees(FeeChange(event="F", fee_type="quadratic", multiplier_ppm=None), NOW)
    assert cells(rows) == [(1, "FEE", 0, TAKER_PPM)]


# -- signals


def test_a_signal_of_one_market_and_of_all() -> None:
    made = register()
    assert cells(made.signal_rows(Signal(name="rain", value=0.25), NOW)) == [(-1, "SIGNAL", 0, 250_000)]
    assert cells(made.signal_rows(Signal(name="wind", value=-3, ticker="B"), NOW)) == [(1, "SIGNAL", 1, -3_000_000)]
    assert cells(made.signal_rows(Signal(name="rain", value=1e-7, ticker="A"), NOW)) == [(0, "SIGNAL", 0, 0)]
    assert made.signals == ["rain", "wind"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e13, -1e300])
def test_a_signal_that_no_row_can_hold_is_refused(value: float) -> None:
    made = register()
    with pytest.raises(UsageError, match="rain"):
        made.signal_rows(Signal(name="rain", value=value), NOW)
    assert made.signals == []


def test_a_signal_of_no_market_or_no_name_is_refused() -> None:
    made = register()
    with pytest.raises(UnknownName, match=r"'AA'.*Known: A, B"):
        made.signal_rows(Signal(name="rain", value=1, ticker="AA"), NOW)
    with pytest.raises(UsageError):
        made.signal_rows(Signal(name="", value=1), NOW)
    made.signals += [str(number) for number in range(SIGNALS_MOST)]
    with pytest.raises(UsageError, match="32,768"):
        made.signal_rows(Signal(name="one more", value=1), NOW)


# -- another life


@given(LIVES)
@settings(max_examples=100)
def test_a_register_made_of_a_session_tells_on_as_the_first_one_would(life: list[MarketChange]) -> None:
    cut = len(life) // 2
    made = register()
    said = [made.rows_of_change(one, NOW + at) for at, one in enumerate(life[:cut])]
    said.append(made.rows_of_fees(FeeChange(event="E", fee_type=None, multiplier_ppm=3), NOW + cut))
    again = Register.of_session(made.facts, said)
    assert [one.told for one in again.known] == [
        msgspec.structs.replace(one.told, changed_ns=0, heard_ns=0) for one in made.known
    ]
    assert not again.take_facts()
    for at, one in enumerate(life[cut:], start=cut):
        assert cells(made.rows_of_change(one, NOW + at)) == cells(again.rows_of_change(one, NOW + at))
    assert made.facts == again.facts


def test_a_market_that_is_told_again_keeps_its_row_and_gets_the_fees_of_its_series() -> None:
    made = Register.of_session(register("A").facts)
    made.enter(market_facts(market(close_ns=5), EVENT, msgspec.structs.replace(SERIES, multiplier_ppm=2_000_000)))
    assert made.facts.markets[0].close_ns == CLOSE
    rows = made.rows_of_fees(FeeChange(event="E", fee_type=None, multiplier_ppm=None), NOW)
    assert cells(rows) == [(0, "FEE", 0, 2 * TAKER_PPM)]
