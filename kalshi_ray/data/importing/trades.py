"""Public prints to TRADE rows, alone or beside books."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.data.importing.options import TradeFiles
from kalshi_ray.data.importing.rows import Recording, blank_rows
from kalshi_ray.data.importing.tables import codes_of, prices_of, read_files, refusal, sizes_of
from kalshi_ray.data.importing.times import times_of
from kalshi_ray.data.schema import FLAG_BLOCK
from kalshi_ray.errors import DataError, NothingToDo, WireError
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.messages import Trade

_TAKERS = {"yes": Side.BID, "bid": Side.BID, "no": Side.ASK, "ask": Side.ASK}


def import_trades(source: TradeFiles) -> Recording:
    """Prints of all files in order of time. Their time is the exchange's, taken as receive time too."""
    if all(path.endswith(".json") for path in source.paths) and source.paths:
        rows, tickers = _from_rest(source)
    else:
        rows, tickers = _from_tables(source)
    if not len(rows):
        raise NothingToDo(f"no print in {', '.join(source.paths) or 'no file'}")
    unknowns = ["receive times of the prints: their exchange time was taken"]
    if not (rows["taker"] >= 0).all():
        unknowns.append("side of the taker of prints")
    if (rows["exch_ns"] % 1_000_000_000 == 0).all():
        unknowns.append("times of prints within a second")
    return Recording(
        rows=rows[np.argsort(rows["recv_ns"], kind="stable")],
        tickers=tickers,
        clock="exchange time of the prints",
        counts=Counter({"prints": len(rows)}),
        unknowns=unknowns,
    )


def _from_tables(source: TradeFiles) -> tuple[NDArray[np.void], list[str]]:
    columns = [source.ticker, source.time, source.price, source.size, *([source.taker] if source.taker else [])]
    table = read_files(source.paths, columns)
    rows = blank_rows(table.num_rows, Kind.TRADE)
    rows["market"], tickers = codes_of(table, source.ticker)
    rows["exch_ns"] = rows["recv_ns"] = times_of(table, source.time, source.time_unit, source.time_zone, form="trades")
    rows["price"] = prices_of(table, source.price, source.unit)
    rows["size"] = sizes_of(table, source.size)
    if source.taker:
        rows["taker"] = _takers(table, source.taker)
    _check(rows, table, source)
    return rows, tickers


def _check(rows: NDArray[np.void], table: pa.Table, source: TradeFiles) -> None:
    unit = f"Check the unit of the prices: trades.unit is {source.unit}"
    outside = (rows["price"] <= 0) | (rows["price"] >= DOLLAR)
    for column, wrong, expected, remedy in (
        (source.price, outside, "a price between 0 and one dollar", unit),
        (source.size, rows["size"] <= 0, "a size above 0", ""),
    ):
        if wrong.any():
            raise refusal(table, column, int(np.flatnonzero(wrong)[0]), expected, remedy=remedy)


def _takers(table: pa.Table, column: str) -> NDArray[np.int8]:
    words = table[column].to_pylist()
    unknown = {word for word in words if word not in (None, "", *_TAKERS)}
    if unknown:
        raise DataError(f"column {column!r} holds {sorted(unknown)[:3]}", remedy="Expected yes, no, bid, ask or empty")
    return np.array([_TAKERS.get(word, Side.NONE) for word in words], np.int8)


class _Prints(msgspec.Struct):
    trades: list[dict[str, msgspec.Raw]] | None = None
    response: _Prints | None = None  # a recorder's wrapper


def _from_rest(source: TradeFiles) -> tuple[NDArray[np.void], list[str]]:
    """The answers of `GET /markets/trades`, newest first; a print there has the fields of a frame under other names."""
    codec = Codec(use_yes_price=False)
    found = []
    for path in source.paths:
        for fields in reversed(_prints_in(path)):
            body = {{"ticker": "market_ticker", "created_time": "ts"}.get(key, key): fields[key] for key in fields}
            try:
                found.append(codec.decode(msgspec.json.encode({"type": "trade", "msg": body})))
            except WireError as error:
                raise WireError(f"{path}: {error}") from error
    trades = [message for message in found if isinstance(message, Trade)]
    tickers = list(dict.fromkeys(trade.ticker for trade in trades))
    place = {ticker: row for row, ticker in enumerate(tickers)}
    rows = blank_rows(len(trades), Kind.TRADE)
    rows["market"] = [place[trade.ticker] for trade in trades]
    rows["recv_ns"] = rows["exch_ns"] = [trade.exch_ns for trade in trades]
    rows["flags"] = [FLAG_BLOCK if trade.is_block else 0 for trade in trades]
    for name in ("price", "size", "taker"):
        rows[name] = [getattr(trade, name) for trade in trades]
    return rows, tickers


def _prints_in(path: str) -> list[dict[str, msgspec.Raw]]:
    try:
        document = msgspec.json.decode(Path(path).read_bytes(), type=_Prints)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(
            f"cannot read {path}: {error}", remedy="Expected JSON as GET /markets/trades answers"
        ) from error
    trades = (document.response or document).trades
    if trades is None:
        raise DataError(f"{path} holds no trades", remedy="Expected JSON as GET /markets/trades answers")
    return trades
