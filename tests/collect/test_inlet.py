"""Values over a socket and from a file: answered, stamped, refused one by one, and nothing else disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from bench.ports import socket_folder
from kalshi_ray import telemetry
from kalshi_ray.collect.collector import inlet
from kalshi_ray.collect.collector.inlet import FileTail, Inlets, SignalSocket, Taker
from kalshi_ray.collect.register import Signal
from kalshi_ray.collect.signals import SignalReader
from kalshi_ray.errors import ConfigError, UsageError

TICKER = "KXA-26-T1"
LINE = b'{"signal":"a","value":%d}\n'


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder whose sockets have names that are short enough, wherever temporary files lie."""
    folder = socket_folder("kalshi-ray-inlet-")
    yield folder
    shutil.rmtree(folder)


class Desk:
    """What takes the values, with a clock that counts them, and a door."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.door = asyncio.Event()
        self.door.set()
        self.came = asyncio.Event()
        self.taker = Taker(SignalReader((), {TICKER}), self.deliver, self.room)

    def deliver(self, signal: Signal) -> int:
        self.values.append(signal.value)
        self.came.set()
        return len(self.values)

    async def room(self) -> None:
        await self.door.wait()

    async def has(self, count: int) -> None:
        """Return once so many values came."""
        while len(self.values) < count:
            self.came.clear()
            await self.came.wait()


def run(work: Callable[[Desk], Awaitable[None]]) -> None:
    async def whole() -> None:
        await work(Desk())

    asyncio.run(asyncio.wait_for(whole(), 30))


class Sender:
    """A connection to the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, *lines: bytes) -> list[dict[str, object]]:
        """Send lines and read as many answers."""
        self.writer.write(b"".join(lines))
        return [json.loads(await self.reader.readline()) for _ in lines]


@contextlib.asynccontextmanager
async def sender(path: Path) -> AsyncIterator[Sender]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        yield Sender(reader, writer)
    finally:
        writer.close()


# -- the socket


def test_every_line_is_answered_in_order_and_a_refused_one_disturbs_nothing(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        async with SignalSocket(desk.taker, tmp_path / "s") as door, sender(door.path) as one:
            answers = await one.say(
                LINE % 7, b"nonsense\n", b'{"signal":"a","value":8,"ticker":"KXQ"}\n', b"x" * 9_000 + b"\n", LINE % 9
            )
        assert [answers[0], answers[4]] == [{"ok": True, "recv_ns": 1}, {"ok": True, "recv_ns": 2}]
        assert [answer["ok"] for answer in answers[1:4]] == [False] * 3
        assert answers[2]["error"] == "no market 'KXQ' in this session"
        assert "more than 4,096 bytes" in str(answers[3]["error"])
        assert desk.values == [7.0, 9.0]
        assert (desk.taker.taken, desk.taker.refused) == (2, 3)

    run(work)


def test_only_its_owner_may_use_the_socket_and_it_ends_with_the_collector(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        async with SignalSocket(desk.taker, tmp_path / "s") as door:
            assert stat.S_IMODE(door.path.stat().st_mode) == 0o600
        assert not door.path.exists()

    run(work)


def test_the_socket_of_a_dead_collector_is_replaced_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def work(desk: Desk) -> None:
        async with SignalSocket(desk.taker, path):
            with pytest.raises(UsageError, match="another collector takes signals"):
                async with SignalSocket(desk.taker, path):
                    pass
            async with sender(path) as one:
                assert (await one.say(LINE % 1))[0]["ok"], "the first still has it"

    run(work)


@pytest.mark.parametrize("name", ["file", "missing/s", "s" * 120])
def test_a_place_for_no_socket_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("precious")

    async def work(desk: Desk) -> None:
        with pytest.raises(ConfigError, match=r"Choose another collect\.signal_socket"):
            async with SignalSocket(desk.taker, tmp_path / name):
                pass

    run(work)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_whole_object_at_the_end_needs_no_line_feed_and_half_of_one_is_refused(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        async with SignalSocket(desk.taker, tmp_path / "s") as door:
            for content, is_taken in ((LINE.strip() % 5, True), (b'{"signal":"a","va', False)):
                async with sender(door.path) as one:
                    one.writer.write(content)
                    one.writer.write_eof()
                    assert json.loads(await one.reader.readline())["ok"] is is_taken
        assert desk.values == [5.0]

    run(work)


def test_many_senders_are_served_at_once_and_those_beyond_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inlet, "MOST_SENDERS", 5)

    async def work(desk: Desk) -> None:
        async with SignalSocket(desk.taker, tmp_path / "s") as door, contextlib.AsyncExitStack() as stack:
            senders = [await stack.enter_async_context(sender(door.path)) for _ in range(5)]
            for at, one in enumerate(senders):
                assert (await one.say(LINE % at))[0]["ok"]
            async with sender(door.path) as late:
                answer = json.loads(await late.reader.readline())
                assert answer == {"ok": False, "error": "5 senders are connected already"}
                assert await late.reader.read() == b""
        assert sorted(desk.values) == [0, 1, 2, 3, 4]

    run(work)


def test_without_room_senders_wait_and_nothing_is_lost(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        desk.door.clear()
        async with SignalSocket(desk.taker, tmp_path / "s") as door, sender(door.path) as one:
            asking = asyncio.create_task(one.say(*(LINE % at for at in range(9_000))))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not desk.values and not asking.done()
            desk.door.set()
            answers = await asking
        assert [answer["recv_ns"] for answer in answers] == list(range(1, 9_001))
        assert desk.values == list(range(9_000))

    run(work)


def test_a_sender_may_write_its_lines_and_go(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        async with SignalSocket(desk.taker, tmp_path / "s") as door:
            for at in range(50):
                with socket.socket(socket.AF_UNIX) as one:
                    one.connect(str(door.path))
                    one.sendall(b"".join(LINE % (100 * at + n) for n in range(100)))
            await desk.has(5_000)
        assert sorted(desk.values) == list(range(5_000))

    run(work)


def test_a_sender_that_never_reads_its_answers_is_heard_and_sees_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inlet, "ANSWER_S", 0.01)

    async def work(desk: Desk) -> None:
        async with SignalSocket(desk.taker, tmp_path / "s") as door:
            with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
                one.connect(str(door.path))
                count = 40_000
                await asyncio.to_thread(one.sendall, b"".join(LINE % at for at in range(count)))
                await desk.has(count)
                two.connect(str(door.path))
                two.sendall(LINE % 5)
                await desk.has(count + 1)
                answers = await asyncio.to_thread(_all_of, one)
        assert 0 < answers.count(b"\n") < count and answers.startswith(b'{"ok":true,"recv_ns":1}\n')

    run(work)


def _all_of(connection: socket.socket) -> bytes:
    found = b""
    while part := connection.recv(65_536):
        found += part
    return found


def test_a_fault_of_ours_is_kept_for_the_collector(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        def broken(signal: Signal) -> int:
            raise ZeroDivisionError

        taker = Taker(SignalReader((), ()), broken, desk.room)
        with pytest.raises(ZeroDivisionError):
            taker.take(LINE % 1)
        assert isinstance(taker.fault, ZeroDivisionError)

    run(work)


# -- the file


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Warnings, and a tail that looks when the test says so."""
    found: list[dict[str, object]] = []
    monkeypatch.setattr(telemetry, "warning", lambda name, **fields: found.append({"name": name} | fields))
    monkeypatch.setattr(inlet, "POLL_S", 3_600.0)
    monkeypatch.setattr(inlet, "LINGER_S", 0.0)
    return found


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_lines_added_to_a_file_are_taken_and_those_before_are_not(
    tmp_path: Path, told: list[dict[str, object]]
) -> None:
    path = tmp_path / "signals"
    append(path, LINE % 1)

    async def work(desk: Desk) -> None:
        async with FileTail(desk.taker, path) as tail:
            append(path, LINE % 2 + b"nonsense\n" + LINE % 3 + b'{"signal":"a",')
            await tail.poll()
            assert desk.values == [2, 3], "half a line waits for its end"
            append(path, b'"value":4}\n')
            await tail.poll()
            assert desk.values == [2, 3, 4] and desk.taker.refused == 1
            assert [one["name"] for one in told] == ["collect.signal_refused"]
            assert "nonsense" in str(told[0]["problem"])

    run(work)


def test_a_file_that_comes_later_is_read_from_its_beginning(tmp_path: Path, told: list[dict[str, object]]) -> None:
    path = tmp_path / "signals"

    async def work(desk: Desk) -> None:
        async with FileTail(desk.taker, path) as tail:
            assert not await tail.poll() and not told
            append(path, LINE % 1)
            await tail.poll()
            assert desk.values == [1]

    run(work)


@pytest.mark.usefixtures("told")
def test_a_rotated_file_is_read_to_its_end_and_its_successor_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, away = tmp_path / "signals", tmp_path / "signals.1"
    append(path, b"")

    async def work(desk: Desk) -> None:
        monkeypatch.setattr(inlet, "LINGER_S", 3_600.0)
        async with FileTail(desk.taker, path) as tail:
            append(path, LINE % 1 + LINE.strip()[:9])
            await tail.poll()
            path.rename(away)
            append(away, LINE.strip()[9:] % 2 + b"\n")
            append(path, LINE % 3)
            await tail.poll()
            append(away, LINE % 4)  # its writer has not noticed yet
            append(path, LINE % 5)
            await tail.poll()
            assert desk.values == [1, 2, 3, 4, 5]
            append(away, LINE.strip()[:9])
            await tail.poll()
            monkeypatch.setattr(inlet, "LINGER_S", 0.0)
            await tail.poll()
            assert desk.taker.refused == 1, "half a line that nobody ends any more"
            append(away, LINE % 6)
            await tail.poll()
            assert desk.values == [1, 2, 3, 4, 5]

    run(work)


@pytest.mark.usefixtures("told")
def test_a_file_that_is_moved_away_and_back_is_not_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, away = tmp_path / "signals", tmp_path / "signals.1"
    append(path, b"")

    async def work(desk: Desk) -> None:
        monkeypatch.setattr(inlet, "LINGER_S", 3_600.0)
        async with FileTail(desk.taker, path) as tail:
            append(path, LINE % 1)
            await tail.poll()
            path.rename(away)
            append(path, LINE % 2)
            await tail.poll()
            away.replace(path)
            append(path, LINE % 3)
            await tail.poll()
            assert desk.values == [1, 2, 3]

    run(work)


@pytest.mark.usefixtures("told")
def test_an_emptied_file_is_read_anew_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "signals"
    append(path, LINE % 1)

    async def work(desk: Desk) -> None:
        async with FileTail(desk.taker, path) as tail:
            append(path, LINE % 2 + b'{"signal"')
            await tail.poll()
            os.truncate(path, 0)
            append(path, LINE % 3)
            await tail.poll()
            assert desk.values == [2, 3] and desk.taker.refused == 1

    run(work)


@pytest.mark.usefixtures("told")
def test_without_room_lines_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "signals"
    append(path, b"")

    async def work(desk: Desk) -> None:
        async with FileTail(desk.taker, path) as tail:
            await asyncio.sleep(0)
            desk.door.clear()
            append(path, LINE % 1)
            looking = asyncio.create_task(tail.poll())
            await asyncio.sleep(0)
            assert not desk.values
            desk.door.set()
            await looking
            assert desk.values == [1]

    run(work)


def test_a_path_that_is_no_file_is_refused_at_the_start_and_told_later(
    tmp_path: Path, told: list[dict[str, object]]
) -> None:
    async def work(desk: Desk) -> None:
        with pytest.raises(ConfigError, match=r"it is not a file\. Choose another collect\.signal_file"):
            async with FileTail(desk.taker, tmp_path):
                pass
        async with FileTail(desk.taker, tmp_path / "later") as tail:
            (tmp_path / "later").mkdir()
            for _ in range(3):
                await tail.poll()
            assert [one["name"] for one in told] == ["collect.signal_file"]

    run(work)


def test_the_inlet_opens_what_is_asked_for_and_closes_it_all(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        async with Inlets(desk.taker):
            pass
        path, file = tmp_path / "s", tmp_path / "f"
        append(file, b"")
        async with Inlets(desk.taker, socket_path=str(path), file_path=str(file)):
            append(file, LINE % 1)
            async with sender(path) as one:
                assert (await one.say(LINE % 2))[0]["ok"]
            await desk.has(2)
        assert sorted(desk.values) == [1, 2] and not path.exists()
        with pytest.raises(ConfigError, match="it is not a file"):
            async with Inlets(desk.taker, socket_path=str(path), file_path=str(tmp_path)):
                pass
        assert not path.exists(), "what was opened before the error is closed"

    run(work)
