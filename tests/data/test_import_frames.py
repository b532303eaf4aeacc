"""Recorded frames to rows: control frames, gaps, clocks, both price axes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kalshi_ray.core.tape import GapCause, Kind, Status
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.importing import FrameFiles, ImportOptions, import_session
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import open_store
from kalshi_ray.errors import ConfigError, DataError, NothingToDo, UsageError, WireError
from tests.data.samples import START

MS = START // 1_000_000


def frame(kind: str, msg: Any = None, **envelope: Any) -> dict[str, Any]:
    return {"type": kind, **envelope} | ({} if msg is None else {"msg": msg})


def book(ticker: str, yes: Any, no: Any, *, seq: int, sid: int = 1) -> dict[str, Any]:
    sides = {"yes_dollars_fp": yes, "no_dollars_fp": no}
    return frame(
        "orderbook_snapshot", {"market_ticker": ticker} | {k: v for k, v in sides.items() if v}, sid=sid, seq=seq
    )


def change(ticker: str, side: str, price: str, size: str, *, seq: int, sid: int = 1, ms: int = 0) -> dict[str, Any]:
    body = {"market_ticker": ticker, "side": side, "price_dollars": price, "delta_fp": size, "ts_ms": MS + ms}
    return frame("orderbook_delta", body, sid=sid, seq=seq)


DEEP = [["0.0100", "50.00"], ["0.4700", "3.00"]], [["0.0100", "9.00"], ["0.4800", "2.00"]]


def write(tmp_path: Path, frames: list[Any], *, wrapped: bool = True, name: str = "frames.jsonl") -> str:
    """A recording; wrapped lines are a second apart."""
    lines = [
        json.dumps({"timestamp": START + number * 1_000_000_000, "msg": one} if wrapped else one)
        for number, one in enumerate(frames)
    ]
    path = tmp_path / name
    path.write_text("\n\n".join(lines) + "\n")
    return str(path)


def imported(tmp_path: Path, frames: list[Any], *, wrapped: bool = True, **source: Any) -> Session:
    path = write(tmp_path, frames, wrapped=wrapped)
    store = open_store(str(tmp_path / "store"))
    import_session(store, "s", FrameFiles(paths=(path,), **source))
    return store.open("s")


def kinds(session: Session) -> list[str]:
    return [Kind(kind).name for kind in session.updates()["kind"].to_pylist()]


def test_a_book_and_its_changes_become_rows_on_the_yes_axis(tmp_path: Path) -> None:
    frames = [
        frame("subscribed", {"channel": "orderbook_delta", "sid": 1}, id=1),
        book("KXA-26-T1", *DEEP, seq=1),
        change("KXA-26-T1", "no", "0.4800", "-2.00", seq=2, ms=7),
    ]
    session = imported(tmp_path, frames)
    rows = session.updates().to_pylist()
    assert [(r["side"], r["price"], r["size"]) for r in rows] == [
        (0, 4700, 300),
        (0, 100, 5000),
        (1, 5200, 200),
        (1, 9900, 900),
        (-1, 0, 0),
        (1, 5200, -200),
    ]
    assert [Kind(r["kind"]) for r in rows] == [Kind.SNAPSHOT_LEVEL] * 4 + [Kind.SNAPSHOT_END, Kind.DELTA]
    assert {r["sid"] for r in rows} == {1} and [r["seq"] for r in rows] == [1] * 5 + [2]
    assert rows[5]["recv_ns"] == START + 2_000_000_000
    assert rows[5]["exch_ns"] == START + 7_000_000
    assert session.manifest.clock == "receive"
    assert session.manifest.use_yes_price is False


def test_both_settings_of_the_axis_give_the_same_rows(tmp_path: Path) -> None:
    leg = [book("KXA-26-T1", *DEEP, seq=1)]
    yes = [book("KXA-26-T1", DEEP[0], [["0.9900", "9.00"], ["0.5200", "2.00"]], seq=1)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = imported(tmp_path / "a", leg, use_yes_price=False)
    second = imported(tmp_path / "b", yes, use_yes_price=True)
    assert first.updates().equals(second.updates())
    assert second.manifest.use_yes_price is True


def test_the_axis_is_told_by_books_that_would_cross(tmp_path: Path) -> None:
    yes = [book("KXA-26-T1", DEEP[0], [["0.9900", "9.00"], ["0.5200", "2.00"]], seq=1)]
    assert imported(tmp_path, yes).manifest.use_yes_price is True


@pytest.mark.parametrize(
    "frames",
    [
        [book("KXA-26-T1", [["0.4700", "3.00"]], [["0.4800", "2.00"]], seq=1)],
        [change("KXA-26-T1", "no", "0.4800", "-2.00", seq=1)],
    ],
)
def test_an_axis_that_cannot_be_told_has_to_be_said(tmp_path: Path, frames: list[Any]) -> None:
    with pytest.raises(ConfigError, match=r"cannot be told from its books. Set frames.use_yes_price to true or false"):
        imported(tmp_path, frames)
    assert imported(tmp_path, frames, use_yes_price=False).manifest.updates > 0


def test_an_axis_does_not_matter_without_a_no_side(tmp_path: Path) -> None:
    session = imported(tmp_path, [book("KXA-26-T1", [["0.4700", "3.00"]], None, seq=1)])
    assert session.manifest.use_yes_price is None


def test_a_setting_that_crosses_the_books_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"use_yes_price=True 1 of 1 books are crossed, with False none is"):
        imported(tmp_path, [book("KXA-26-T1", *DEEP, seq=1)], use_yes_price=True)
    assert open_store(str(tmp_path / "store")).ids() == []


def test_control_frames_take_numbers_and_a_missing_one_is_a_gap(tmp_path: Path) -> None:
    frames = [
        frame("ok", {"market_tickers": ["KXA-26-T1"]}, id=2, sid=1, seq=1),
        book("KXA-26-T1", *DEEP, seq=2),
        frame("ok", id=3, sid=1, seq=3),
        frame("weather", {}, sid=1, seq=4),
        change("KXA-26-T1", "yes", "0.4700", "1.00", seq=5),
        change("KXA-26-T1", "yes", "0.4700", "1.00", seq=8),
        change("KXA-26-T1", "yes", "0.4700", "1.00", seq=8),
    ]
    session = imported(tmp_path, frames)
    rows = session.updates().to_pylist()
    assert kinds(session)[5:] == ["DELTA", "GAP", "DELTA"]
    assert (rows[6]["market"], rows[6]["sid"], rows[6]["size"]) == (-1, 1, GapCause.SEQUENCE)
    assert rows[6]["recv_ns"] == rows[7]["recv_ns"]
    counts = session.manifest.origin["counts"]
    assert counts == {"frames missing": 2, "gaps: sequence": 1, "duplicate frames ignored": 1}
    assert any("unknown types: weather (1)" in line for line in session.manifest.unknowns)


def test_a_recording_that_begins_in_the_middle_begins_with_a_gap(tmp_path: Path) -> None:
    session = imported(tmp_path, [change("KXA-26-T1", "yes", "0.4700", "1.00", seq=1830)])
    assert kinds(session) == ["GAP", "DELTA"]


def test_a_missing_print_is_said_and_makes_no_book_unknown(tmp_path: Path) -> None:
    trade = {"market_ticker": "KXA-26-T1", "yes_price_dollars": "0.5000", "count_fp": "1.50", "taker_side": "no"}
    frames = [book("KXA-26-T1", *DEEP, seq=1)]
    frames += [frame("trade", trade | {"ts_ms": MS, "is_block_trade": True}, sid=2, seq=seq) for seq in (1, 5)]
    session = imported(tmp_path, frames)
    assert kinds(session)[5:] == ["TRADE", "TRADE"]
    row = session.updates().to_pylist()[5]
    assert (row["price"], row["size"], row["taker"], row["flags"], row["side"]) == (5000, 150, 1, 1, -1)
    assert session.manifest.has_trades
    assert any(line.startswith("3 frames of other channels") for line in session.manifest.unknowns)


def test_a_later_connection_starts_with_a_gap(tmp_path: Path) -> None:
    frames = [book("KXA-26-T1", *DEEP, seq=1), change("KXA-26-T1", "yes", "0.4700", "1.00", seq=2)]
    session = imported(tmp_path, [*frames, book("KXA-26-T1", *DEEP, seq=1)])
    assert kinds(session)[5:8] == ["DELTA", "GAP", "SNAPSHOT_LEVEL"]
    assert session.updates()["size"][6].as_py() == GapCause.RECONNECT


def test_frames_without_a_receive_time_get_the_exchange_time(tmp_path: Path) -> None:
    frames = [
        book("KXA-26-T1", *DEEP, seq=1),
        change("KXA-26-T1", "yes", "0.4700", "1.00", seq=2, ms=5),
        change("KXA-26-T1", "yes", "0.4700", "1.00", seq=3, ms=3),
        book("KXA-26-T2", *DEEP, seq=4) | {"sending_ts_ms": MS + 9},
    ]
    session = imported(tmp_path, frames, wrapped=False)
    times = [(time - START) // 1_000_000 for time in session.updates()["recv_ns"].to_pylist()]
    assert times == [5] * 5 + [5, 5] + [9] * 5
    assert session.updates()["exch_ns"].to_pylist()[5:7] == [START + 5_000_000, START + 3_000_000]
    assert session.manifest.clock == "exchange time; no receive time was recorded"
    assert any("receive times of 4 frames" in line for line in session.manifest.unknowns)


def test_frames_without_any_time_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WireError, match=r"no frame of .* has a time. Wrap the frames"):
        imported(tmp_path, [book("KXA-26-T1", *DEEP, seq=1)], wrapped=False)


def test_fields_of_the_wrapper_are_options(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl.gz"
    line = {"at": "2026-10-02T06:31:29.957081Z", "frame": json.dumps(book("KXA-26-T1", *DEEP, seq=1))}
    path.write_bytes(gzip.compress(json.dumps(line).encode()))
    store = open_store(str(tmp_path / "store"))
    source = FrameFiles(paths=(str(path),), time_field="at", frame_field="frame")
    assert import_session(store, "s", source).first_ns == 1_790_922_689_957_081_000
    seconds = tmp_path / "s.jsonl"
    seconds.write_text(json.dumps({"at": 1790922689.5, "frame": book("KXA-26-T1", *DEEP, seq=1)}))
    source = FrameFiles(paths=(str(seconds),), time_field="at", frame_field="frame", time_unit="s")
    assert import_session(store, "t", source).first_ns == 1_790_922_689_500_000_000


def test_legacy_cents_are_the_same_book(tmp_path: Path) -> None:
    old = frame(
        "orderbook_snapshot", {"market_ticker": "KXA-26-T1", "yes": [[1, 50], [47, 3]], "no": [[1, 9], [48, 2]]}
    )
    delta = frame("orderbook_delta", {"market_ticker": "KXA-26-T1", "price": 47, "delta": -3, "side": "yes"})
    session = imported(tmp_path, [old | {"sid": 1, "seq": 1}, delta | {"sid": 1, "seq": 2}])
    rows = session.updates().to_pylist()
    assert [(r["price"], r["size"]) for r in rows][:4] == [(4700, 300), (100, 5000), (5200, 200), (9900, 900)]
    assert (rows[5]["price"], rows[5]["size"]) == (4700, -300)


def test_the_life_of_a_market_is_rows(tmp_path: Path) -> None:
    def life(ticker: str, kind: str, seq: int, **more: Any) -> dict[str, Any]:
        return frame("market_lifecycle_v2", {"market_ticker": ticker, "event_type": kind, **more}, sid=3, seq=seq)

    tenth = [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}]
    frames = [
        life("OTHER-1-X", "created", 1),
        life("KXA-26-T1", "created", 2, open_ts=10, close_ts=20, additional_metadata={"event_ticker": "EV"}),
        frame("event_lifecycle", {"event_ticker": "EV", "series_ticker": "SE"}, sid=3, seq=3),
        life("KXA-26-T1", "activated", 4),
        book("KXA-26-T1", *DEEP, seq=1),
        life("OTHER-1-X", "activated", 5),
        life("KXA-26-T1", "close_date_updated", 6, close_ts=30),
        life("KXA-26-T1", "price_level_structure_updated", 7, price_ranges=tenth),
        frame(
            "event_fee_update",
            {"event_ticker": "EV", "fee_type_override": "quadratic", "fee_multiplier_override": 0.5},
            sid=3,
            seq=8,
        ),
        life("KXA-26-T1", "determined", 9, result="yes", determination_ts=40),
        life("KXA-26-T1", "settled", 10, settled_ts=50),
    ]
    session = imported(tmp_path, frames)
    assert session.tickers() == ["KXA-26-T1"]
    market = session.markets().to_pylist()[0]
    assert (market["event"], market["series"], market["open_ns"], market["close_ns"]) == (
        "EV",
        "SE",
        10**10,
        2 * 10**10,
    )
    assert market["status"] == Status.INITIALIZED
    assert kinds(session)[:1] == ["STATUS"]
    later = [(Kind(r["kind"]).name, r["price"], r["size"]) for r in session.updates().to_pylist()[6:]]
    assert later == [
        ("SCHEDULE", 0, 30 * 10**9),
        ("GRID", 0, 0),
        ("FEE", 0, 35_000),
        ("STATUS", 0, Status.DETERMINED),
        ("SETTLEMENT", DOLLAR, 0),
        ("STATUS", 0, Status.FINALIZED),
    ]
    assert session.manifest.grids == [[[0, DOLLAR, 10]]]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", NothingToDo, "no frame in"),
        ("\n \n", NothingToDo, "no frame in"),
        ("nonsense", WireError, r"frames.jsonl, line 1: a frame is not JSON"),
        ('{"type":"trade","msg":{}}\n', WireError, r"line 1: trade: .*market_ticker"),
        ('{"timestamp":1}', WireError, r"line 1 has no field 'msg' beside timestamp"),
        ('{"timestamp":"noon","msg":{}}', WireError, r"line 1: 'noon' is not a time"),
        ('{"timestamp":"2026-01-01T00:00:00","msg":{}}', ConfigError, r"line 1 name no zone. Set frames.time_zone"),
        ('{"timestamp":1790000000000000000,"msg":{"type":"ok"}}', NothingToDo, "no market with a book or a print"),
    ],
)
def test_a_broken_recording_is_one_clear_error_and_nothing_written(
    tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_text(text)
    store = open_store(str(tmp_path / "store"))
    with pytest.raises(error, match=message):
        import_session(store, "s", FrameFiles(paths=(str(path),)))
    assert store.ids() == []


def test_a_name_that_exists_is_refused_before_reading(tmp_path: Path) -> None:
    imported(tmp_path, [book("KXA-26-T1", *DEEP, seq=1)])
    with pytest.raises(UsageError, match=r"session 's' exists"):
        import_session(open_store(str(tmp_path / "store")), "s", FrameFiles(paths=("nowhere",)), ImportOptions())


def test_files_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    for name, recv_ns in (("a.jsonl", START + 10**9), ("b.jsonl", START)):
        (tmp_path / name).write_text(json.dumps({"timestamp": recv_ns, "msg": book("KXA-26-T1", *DEEP, seq=1)}))
    source = FrameFiles(paths=(str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")), use_yes_price=False)
    with pytest.raises(UsageError, match=r"b.jsonl begins 1.000 s before .* Name the 2 files in the order"):
        import_session(open_store(str(tmp_path / "store")), "s", source)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*nowhere.jsonl"):
        import_session(open_store(str(tmp_path)), "s", FrameFiles(paths=(str(tmp_path / "nowhere.jsonl"),)))
