"""Settlement results from files: CSV or Parquet with tickers and results, or market lists. Never from prices."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.importing.market_lists import read_market_lists
from kalshi_ray.data.importing.rows import blank_rows
from kalshi_ray.data.importing.times import times_of
from kalshi_ray.errors import DataError, NothingToDo, UnknownName, WireError
from kalshi_ray.wire.numbers import pips_of_dollars

_PLAIN = {"yes": DOLLAR, "no": 0}
_NONE_YET = ("", "none", "null", "nan")


class Result(NamedTuple):
    """What one YES of a market paid, in pips, and when that was known; 0 unknown."""

    ticker: str
    value: int
    time: int


def read_results(paths: Sequence[str], time_column: str = "") -> list[Result]:
    """Results of all files. A file with `x_ticker` and `x_result` columns gives one result for every such pair."""
    found: list[Result] = []
    for path in paths:
        found += _from_list(path) if path.endswith(".json") else _from_table(path, time_column)
    by_ticker: dict[str, Result] = {}
    for result in found:
        if by_ticker.setdefault(result.ticker, result).value != result.value:
            raise DataError(
                f"{result.ticker} has two results: {by_ticker[result.ticker].value} and {result.value} pips"
            )
    return list(by_ticker.values())


def add_results(rows: NDArray[Any], tickers: Sequence[str], results: Sequence[Result]) -> tuple[NDArray[Any], int]:
    """The rows with a SETTLEMENT row for every result, and how many results were of other markets.

    A result comes after the market's last row, and not before its own time. NothingToDo if no market has one.
    """
    place = {ticker: row for row, ticker in enumerate(tickers)}
    known = [result for result in results if result.ticker in place]
    if not known:
        raise NothingToDo(
            f"none of the {len(results)} results is of a market of the session",
            remedy=f"Its tickers look like {', '.join(tickers[:2])}",
        )
    settled = blank_rows(len(known), Kind.SETTLEMENT)
    settled["market"] = [place[result.ticker] for result in known]
    settled["price"] = [result.value for result in known]
    settled["exch_ns"] = [result.time for result in known]
    last = np.full(len(tickers), -1, np.int64)
    of_market = rows["market"] >= 0
    np.maximum.at(last, rows["market"][of_market], np.flatnonzero(of_market))
    at = last[settled["market"]]
    settled["recv_ns"] = np.maximum(rows["recv_ns"][at], settled["exch_ns"])
    so_far = np.maximum.accumulate(rows["recv_ns"])
    before = np.maximum(at + 1, np.searchsorted(so_far, settled["recv_ns"], side="right"))
    order = np.lexsort((settled["recv_ns"], before))
    return np.insert(rows, before[order], settled[order]), len(results) - len(known)


def _from_list(path: str) -> list[Result]:
    markets = read_market_lists([path]).markets.values()
    return [Result(m.ticker, m.settled_at, m.settled_ns) for m in markets if m.settled_at is not None]


def _from_table(path: str, time_column: str) -> list[Result]:
    table = _read(path)
    names = table.schema.names
    pairs = [(name[: -len("result")] + "ticker", name) for name in names if name.endswith("result")]
    pairs = [("market_ticker" if t not in names and t == "ticker" else t, r) for t, r in pairs]
    pairs = [pair for pair in pairs if pair[0] in names]
    if not pairs:
        raise DataError(
            f"{path} has columns {', '.join(names)}",
            remedy="Expected ticker and result, or pairs such as a_ticker, a_result",
        )
    if time_column and time_column not in names:
        raise UnknownName(f"column in {path}", time_column, names)
    times = [0] * table.num_rows
    if time_column:
        times = times_of(table, time_column, "auto", "", form="").tolist()
    value_column = next((name for name in ("settlement_value", "settlement_value_dollars") if name in names), None)
    values = table[value_column].to_pylist() if value_column else [None] * table.num_rows
    found = []
    for ticker_column, result_column in pairs:
        cells = zip(table[ticker_column].to_pylist(), table[result_column].to_pylist(), values, times)
        for row, (ticker, result, value, time) in enumerate(cells):
            pips = _value(f"{path}, row {row}", result, value)
            if ticker and pips is not None:
                found.append(Result(str(ticker), pips, time))
    return found


def _read(path: str) -> pa.Table:
    try:
        if path.endswith((".parquet", ".pq")):
            return pq.read_table(path, partitioning=None)
        with pacsv.open_csv(path) as reader:
            names = reader.schema.names
        texts = pacsv.ConvertOptions(column_types={name: pa.string() for name in names}, strings_can_be_null=True)
        return pacsv.read_csv(path, convert_options=texts)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"cannot read {path}: {error}", remedy="Expected CSV, Parquet, or JSON as GET /markets"
        ) from error


def _value(where: str, result: object, value: object) -> int | None:
    """Pips that one YES pays; None where there is no result yet."""
    word = "" if result is None else str(result).strip().lower()
    if word in _NONE_YET:
        return None
    if word in _PLAIN:
        return _PLAIN[word]
    number = value if word == "scalar" else word
    try:
        return pips_of_dollars(Decimal(str(number)), "settlement value")
    except (InvalidOperation, WireError) as error:
        raise DataError(
            f"{where}: result {result!r} with value {value!r}", remedy="Expected yes, no, or a value of 0 to 1 dollar"
        ) from error
