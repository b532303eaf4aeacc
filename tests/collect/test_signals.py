"""Lines of external values: what is taken, what is refused, and that what is taken is exact to the millionth."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.collect.facts import Facts, MarketRow
from kalshi_ray.collect.register import Register, Signal
from kalshi_ray.collect.signals import LONGEST_LINE, MOST_NAMES, MOST_VALUE, Lines, SignalReader
from kalshi_ray.errors import UsageError

TICKER = "KXA-26-T1"


def read(line: bytes | str, names: tuple[str, ...] = ()) -> Signal:
    text = line.encode() if isinstance(line, str) else line
    return SignalReader(names, {TICKER}).read(text)


def refusal(line: bytes | str, names: tuple[str, ...] = ()) -> str:
    with pytest.raises(UsageError) as raised:
        read(line, names)
    return str(raised.value)


def test_a_line_names_a_signal_its_value_and_a_market_or_all() -> None:
    assert read(f'{{"signal":"a","value":1.25,"ticker":"{TICKER}"}}') == Signal(name="a", value=1.25, ticker=TICKER)
    assert read('{"value":-3,"signal":"a/b.c:d_e-1"}') == Signal(name="a/b.c:d_e-1", value=-3.0, ticker=None)
    assert read('{"signal":"a","value":1e3,"ticker":null}').ticker is None


@given(
    st.decimals(-MOST_VALUE, MOST_VALUE, allow_nan=False, allow_infinity=False)
    | st.floats(-MOST_VALUE, MOST_VALUE).map(lambda value: Decimal(repr(value)))
    | st.decimals(MOST_VALUE - 2, MOST_VALUE, places=6)
)
def test_the_tape_holds_the_nearest_millionth_of_any_number_in_range(value: Decimal) -> None:
    register = Register.of_session(Facts(markets=(MarketRow(ticker=TICKER, price_ranges=((0, 10_000, 100),)),)))
    signal = SignalReader(register.signals, register.numbers).read(f'{{"signal":"a","value":{value}}}'.encode())
    (row,) = register.signal_rows(signal, 1)
    assert row["size"] == int((value * 1_000_000).to_integral_value(ROUND_HALF_EVEN))


@pytest.mark.parametrize(
    "value", ["1000000000.1", "-1e10", "1e999999999", "1e99999999999999999999", "12345678901234567890123"]
)
def test_a_value_out_of_range_is_refused(value: str) -> None:
    assert "is not between -1,000,000,000 and 1,000,000,000" in refusal(f'{{"signal":"a","value":{value}}}')


@pytest.mark.parametrize("value", ['"1.25"', "true", "null", "[1]", '{"a":1}'])
def test_a_value_that_is_no_number_is_refused(value: str) -> None:
    assert "expected a number" in refusal(f'{{"signal":"a","value":{value}}}')


@pytest.mark.parametrize(
    "line",
    [
        "rain 0.5",
        "[]",
        "{",
        '{"signal":"a"}',
        '{"value":1}',
        '{"signal":"a","value":1,"market":"x"}',
        '{"signal":1,"value":1}',
        '{"signal":"a","value":NaN}',
        '{"signal":"a","value":1} {"signal":"a","value":2}',
        '{"signal":"a","value":1,"ticker":7}',
        b'{"signal":"\xff","value":1}',
        "[" * 4_000,
    ],
)
def test_what_is_not_of_the_form_is_refused_with_the_form(line: str | bytes) -> None:
    assert 'expected {"signal": "name", "value": 1.25' in refusal(line)


@pytest.mark.parametrize("name", ["", "a b", "ä", "a" * 65, "a\\n"])
def test_a_name_has_1_to_64_plain_characters(name: str) -> None:
    assert "is no name" in refusal(f'{{"signal":"{name}","value":1}}')


def test_a_market_that_is_not_of_the_session_is_refused() -> None:
    assert refusal('{"signal":"a","value":1,"ticker":"KXQ"}') == "no market 'KXQ' in this session"


def test_a_session_has_so_many_names_and_not_one_more() -> None:
    names = tuple(f"s{at}" for at in range(MOST_NAMES))
    assert read('{"signal":"s7","value":1}', names)
    assert "would be signal number 257" in refusal('{"signal":"new","value":1}', names)
    assert read('{"signal":"new","value":1}', names[:-1])


def test_a_line_that_is_too_long_is_refused() -> None:
    assert "more than 4,096 bytes" in refusal(b'{"signal":"' + b"a" * LONGEST_LINE)


# -- lines


@given(
    st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_lines_are_the_same_however_the_bytes_come(lines: list[bytes], sizes: list[int]) -> None:
    content, cutter, found, at = b"".join(line + b"\n" for line in lines), Lines(), list[bytes](), 0
    while at < len(content):
        size = sizes[at % len(sizes)]
        found += cutter.feed(content[at : at + size])
        at += size
    assert found == [line for line in lines if line.strip()]
    assert cutter.rest == b""


@given(st.integers(LONGEST_LINE + 1, 4 * LONGEST_LINE), st.integers(1, 3_000))
def test_a_line_that_is_too_long_comes_once_and_holds_no_more_than_a_line(length: int, size: int) -> None:
    content, cutter, found = b"first\n" + b"x" * length + b"\nlast\n", Lines(), list[bytes]()
    for at in range(0, len(content), size):
        found += cutter.feed(content[at : at + size])
        assert len(cutter.rest) <= LONGEST_LINE + 1
    assert [found[0], found[-1]] == [b"first", b"last"] and len(found) == 3
    assert len(found[1]) > LONGEST_LINE


def test_a_half_line_waits_for_its_end() -> None:
    cutter = Lines()
    assert cutter.feed(b'{"signal":') == [] and cutter.rest == b'{"signal":'
    assert cutter.feed(b'"a"}\r\n\n') == [b'{"signal":"a"}']


def test_what_a_sender_writes_with_its_own_json_is_read() -> None:
    line = json.dumps({"signal": "p", "value": 0.1 + 0.2, "ticker": TICKER})
    assert read(line).value == 0.3
