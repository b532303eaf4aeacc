"""Raw lines: whatever came stands in a line, and comes back as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kalshi_ray.collect import inputs
from kalshi_ray.collect.facts import MarketRow
from kalshi_ray.collect.inputs import Input, frame_lines, note_line, pack, read_inputs, read_line
from kalshi_ray.collect.market_facts import Known, ListedMarket, MarketFacts, told_at_join
from kalshi_ray.collect.recorder import BookLine
from kalshi_ray.errors import SessionDamaged
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.trading import QueuePosition
from tests.collect.course import raw_inputs
from tests.wire.odd_frames import Maker
from tests.wire.test_fast import DELTA

NOW = 1_791_000_000_000_000_000
ODD = [
    b"", b"{}", b"{", b"}", b"[]", b"null", b'""', b"{}{}", b'{"a":1}\n', b'{\n"a":1}', b'{"a":"\n"}', b' {"a":1}',
    b'{"a":1} ', b'{"a":1,}', b'{"a" 1}', b'{"a":tru}', b'{"a":1}},{"b":{"c":2}', b'{"a":[1', b"2]}", b"\xff\xfe",
    b"\x00", b'{"a":"\xc3"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\r"}', b'{"a":"\x7f"}', b'{"\\ud800":1}',
    b'{"a":1e999}', "{\"ä\":\"\u2028\"}".encode(), b"{" * 5_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b"x" * 300_000,
    DELTA, b'"text"', b'{"frame":{},"recv_ns":5,"note":"lost"}',
]  # fmt: skip
ROW = MarketRow(ticker="A", event="E", price_ranges=((0, 10_000, 100),), fee_type="quadratic", status=1)
FACTS = MarketFacts(row=ROW, series_fee_type="quadratic", series_multiplier=0.5)
NOTES: list[inputs.Note] = [
    inputs.Opened(FeedSettings(channels=(Channel.BOOK, Channel.TICKER), unread=(Channel.TICKER,))),
    inputs.Connected(),
    inputs.Heard(),
    inputs.Tended(),
    inputs.Quiet(),
    inputs.Lost(),
    inputs.Finished(),
    inputs.GivenUp(),
    inputs.Interrupted(),
    inputs.Joined({"A": 0, 'B "\n': 2**31 - 1}),
    inputs.Left(["A"]),
    inputs.Entered(FACTS),
    inputs.Listed(ListedMarket(ticker="A", status="active", close_ns=5, ranges=((0, 10_000, 10),), value=0), 7),
    inputs.FeesListed("E", None, None),
    inputs.FeesListed("E", "quadratic", 500_000),
    inputs.Signalled("rain", 0.1 + 0.2, "A"),
    inputs.Signalled("rain", -1e-300),
    inputs.Queued([QueuePosition(order_id="o", ticker="A", ahead=1250)]),
    inputs.Resumed([Known(facts=FACTS, told=told_at_join(ROW))], [((0, 10_000, 10),)], ["rain"]),
]


@pytest.mark.parametrize("unproven", [None, range(len(ODD))], ids=["nothing proven", "all doubted"])
def test_every_frame_comes_back_as_it_came_from_a_line_that_is_json(unproven: range | None) -> None:
    lines = frame_lines(ODD, [NOW] * len(ODD), 7, unproven)
    for raw, line in zip(ODD, lines, strict=True):
        assert line.count(b"\n") == 1 and line.endswith(b"\n") and b"\r" not in line
        assert set(json.loads(line)) in ({"recv_ns", "line", "frame"}, {"recv_ns", "line", "frame_b64"})
        assert read_line(line) == Input(NOW, 7, raw)
    assert lines[ODD.index(DELTA)] == b'{"recv_ns":%d,"line":7,"frame":%b}\n' % (NOW, DELTA), (
        "plain ones stand as they are"
    )


@given(
    st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(ODD), st.text(max_size=20).map(str.encode)), max_size=8)
)
@settings(max_examples=200)
@example([b"{}"])
def test_any_bytes_come_back(frames: list[bytes]) -> None:
    packed = pack(frame_lines(frames, list(range(len(frames))), 3))
    assert [one.content for one in read_inputs(packed, "here")] == frames if frames else True


@given(seed=st.integers(0, 10**9), oddness=st.sampled_from([0.0, 0.02, 0.2]))
@settings(max_examples=60)
def test_what_a_line_received_stands_in_its_raw_lines_byte_for_byte(seed: int, oddness: float) -> None:
    """Also those frames that the fast path took, of whose form nobody asked again."""
    maker = Maker(seed, oddness)
    line = BookLine(7, FeedSettings(use_yes_price=False), raw=True, block_ns=0)
    line.join({"KXA-26-T1": 0, "KXA-26-T104249.99": 1}, NOW)
    line.connect(NOW)
    frames = [b'{"type":"subscribed","id":1,"msg":{"channel":"trade","sid":8}}', b"\n"]
    frames += [maker.frame(8, seq) for seq in range(1, 30)]
    frames += [b" " + DELTA, DELTA + b"\n", DELTA.replace(b",", b" ,\t")]
    blocks = [block for raw in frames for block in line.receive(raw, NOW)] + line.flush(NOW)
    assert [one.content for one in raw_inputs(blocks) if isinstance(one.content, bytes)] == frames


@pytest.mark.parametrize("note", NOTES, ids=lambda note: type(note).__name__)
def test_a_note_comes_back_as_it_was(note: inputs.Note) -> None:
    line = note_line(note, NOW, 5)
    assert line.startswith(b'{"recv_ns":%d,"line":5,"note":"' % NOW) and line.count(b"\n") == 1
    assert read_line(line) == Input(NOW, 5, note)


def test_packed_lines_may_stand_one_behind_the_other() -> None:
    packed = b"".join(pack([note_line(note, NOW + at, 5)]) for at, note in enumerate(NOTES))
    assert [one.content for one in read_inputs(packed, "here")] == NOTES


@pytest.mark.parametrize(
    "line",
    [b"{}", b"x", b'{"recv_ns":1,"line":2}', b'{"recv_ns":1,"line":2,"note":"gone"}',
     b'{"recv_ns":"1","line":2,"frame":{}}', b'{"recv_ns":1,"line":2,"frame_b64":"?"}',
     b'{"recv_ns":1,"line":2,"note":"joined"}', b'{"recv_ns":1,"line":2,"frame":"\xff"}'],
)  # fmt: skip
def test_a_line_that_is_none_is_named(line: bytes) -> None:
    packed = pack([note_line(inputs.Lost(), 1, 2), line + b"\n"])
    with pytest.raises(SessionDamaged, match=r"raw/part-00003\.jsonl\.zst, line 2: "):
        list(read_inputs(packed, "raw/part-00003.jsonl.zst"))


def test_what_is_not_compressed_lines_is_named() -> None:
    whole = pack(note_line(note, NOW, 5) for note in NOTES)
    for content in (b"what is this", whole[: len(whole) // 2]):
        with pytest.raises(SessionDamaged, match="raw/part-00003"):
            list(read_inputs(content, "raw/part-00003.jsonl.zst"))
