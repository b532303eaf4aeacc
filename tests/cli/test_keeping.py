"""The commands that keep recordings whole: copy, verify, compact, recover, unlock, delete."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from kalshi_ray.cli.app import run
from kalshi_ray.data import copying
from kalshi_ray.data.owner import Owner
from kalshi_ray.data.store import SessionStore, open_store
from tests.data.samples import draft, market_table, random_updates

Answer = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    """A store with the session `live`: 100 updates in ten parts, and lines of frames in three."""
    store = open_store(str(tmp_path / "store"))
    table = random_updates(100, markets=1, seed=1)
    with store.writer("live", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        for number in range(3):
            writer.put_raw(number, bytes(pa.compress(b"a line\n" * 20, codec="zstd", asbytes=True)))
        for number in range(10):
            writer.write_part(number, table.slice(number * 10, 10))
        writer.commit()
    return store


@pytest.fixture
def say(store: SessionStore, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command of `sessions` on the store and give what it printed, on both streams."""

    def run_it(*words: str, code: int = 0) -> str:
        assert run(["sessions", *words, "--store", store.url]) == code
        return "".join(capsys.readouterr())

    return run_it


@pytest.fixture
def answer(store: SessionStore, capsys: pytest.CaptureFixture[str]) -> Answer:
    """The same with --json, decoded."""

    def run_it(*words: str, code: int = 0) -> Any:
        assert run(["sessions", *words, "--store", store.url, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run_it


class Terminal(io.StringIO):
    """What a person types."""

    def isatty(self) -> bool:
        return True


def test_a_copy_is_told_and_a_second_one_does_nothing(say: Callable[..., str], answer: Answer, tmp_path: Path) -> None:
    there = str(tmp_path / "there")
    line = ("copy", "live", "--to", there, "--as", "kept")
    assert f"copied to kept in {there}: 100 updates" in say(*line)
    assert "is there already, with equal content: nothing was done" in say(
        "copy", "live", "--to", there, "--as", "kept"
    )
    again = answer(*line)
    assert (again["was_there"], again["updates"]) == (True, 100)
    assert open_store(there).open("kept").updates().num_rows == 100


def test_a_copy_that_was_cut_short_is_told_to_be_copied_again(
    store: SessionStore, say: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = str(tmp_path / "there")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(copying, "_copy_updates", interrupted)
        assert "stopped" in say("copy", "live", "--to", there, code=130)
    assert run(["sessions", "list", "--store", there]) == 0
    assert "It is a copy that was cut short: the same kalshi-ray sessions copy goes on with it" in say(
        "list", "--store", there
    )
    assert "copied to live" in say("copy", "live", "--to", there)


def test_sizes_have_the_unit_that_shows_them(say: Callable[..., str]) -> None:
    assert "0.0 MB" not in say("list") + say("compact", "live") + say("verify", "live")


def test_notes_stand_below_the_list(store: SessionStore, say: Callable[..., str]) -> None:
    store.writer("cut", manifest=draft()).close()
    lines = say("list").splitlines()
    assert "note" not in lines[1]
    assert lines[-1].startswith("cut: session 'cut' was begun") or lines[-1].startswith("cut: session 'cut' was never")


def test_verify_names_what_is_damaged_and_ends_with_1(
    store: SessionStore, say: Callable[..., str], answer: Answer
) -> None:
    store.writer("begun", manifest=draft()).close()
    assert "10 " in say("verify", "live") and "whole" in say("verify", "live")
    every = answer("verify", "--all")
    assert every["is_whole"] and [one["state"] for one in every["sessions"]] == ["unfinished", "finished"]
    assert store.local is not None
    part = store.local / "sessions/live/updates/part-00003.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 0xFF
    part.write_bytes(content)
    told = say("verify", "live", code=1)
    assert f"checksum of {part} is" in told and "damaged: live" in told
    [_, live] = answer("verify", "--all", code=1)["sessions"]
    assert [piece["name"] for piece in live["pieces"] if piece["problem"]] == ["updates/part-00003.parquet"]
    assert "Give one of the two" in say("verify", code=2)
    assert "Give one of the two" in say("verify", "live", "--all", code=2)


def test_compact_says_bytes_before_and_after(store: SessionStore, say: Callable[..., str]) -> None:
    content = store.open("live").checksum
    told = say("compact", "live")
    assert "10 parts of" in told and "are now 1 part of" in told and content[:16] in told
    assert "frames as received, 3 parts of" in told and "with the same lines" in told
    assert store.open("live").checksum == content and len(store.open("live").raw_parts) == 1
    told = say("compact", "live")
    assert "live has 1 part for 100 updates, 1 part of frames as received: nothing to do" in " ".join(told.split())


def test_compact_refuses_what_is_being_written(store: SessionStore, say: Callable[..., str]) -> None:
    with store.writer("now", manifest=draft()):
        assert "is being written by process" in say("compact", "now", code=1)
    assert "never finished" in say("compact", "now", code=1)


def test_delete_shows_what_goes_and_wants_the_name_typed(
    store: SessionStore, say: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = say("delete", "live", code=2)
    assert "DELTA" in told and "TRADE" in told and "all" in told
    assert "holds 100 updates: nothing was deleted. Delete it with --rows 100" in told
    monkeypatch.setattr("kalshi_ray.cli.keeping._is_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert "nothing was deleted" in say("delete", "live", code=2)
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert "nothing was deleted" in say("delete", "live", code=2)
    monkeypatch.setattr("sys.stdin", Terminal("live\n"))
    assert "deleted live with 100 updates" in say("delete", "live")
    assert store.ids() == []


def test_delete_takes_one_session_and_its_own_number_of_rows(store: SessionStore, say: Callable[..., str]) -> None:
    assert "Delete one at a time" in say("delete", "live", "other", "--rows", "100", code=2)
    assert "nothing was deleted" in say("delete", "live", "--rows", "0", code=2)
    assert store.open("live").manifest.updates == 100
    assert "deleted live with 100 updates" in say("delete", "live", "--rows", "100")


def test_unlock_names_the_writer_and_wants_its_machine(store: SessionStore, say: Callable[..., str]) -> None:
    store.writer("far", manifest=draft()).close()
    assert "nobody writes session 'far'" in say("unlock", "far", code=2)
    gone = Owner(host="collector-2", pid=7, birth=5, since="2026-01-05T15:00")
    store.backend.create("far", "writer.lock", msgspec.json.encode(gone))
    told = say("unlock", "far", code=2)
    assert "process 7 on collector-2 since 2026-01-05T15:00" in told and "--host 'collector-2'" in told
    assert "not on 'collector-1'" in say("unlock", "far", "--host", "collector-1", code=2)
    assert "took the lock of far from process 7 on collector-2" in say("unlock", "far", "--host", "collector-2")
    assert store.owner("far") is None


def test_the_lock_of_a_dead_process_of_this_machine_needs_no_taking(
    store: SessionStore, say: Callable[..., str]
) -> None:
    store.writer("here", manifest=draft()).close()
    gone = Owner(host=socket.gethostname(), pid=2**22 + 1, birth=5, since="2026-01-05T15:00")
    store.backend.create("here", "writer.lock", msgspec.json.encode(gone))
    told = say("unlock", "here", code=2)
    assert "is dead, and its lock needs no taking" in told and "sessions recover here" in told


def test_list_shows_frames_apart(store: SessionStore, say: Callable[..., str], answer: Answer) -> None:
    [live] = answer("list")["sessions"]
    raw = [len(store.open("live").raw_part(name)) for name in store.open("live").raw_parts]
    assert live["raw_bytes"] == sum(raw) < live["bytes"]
    assert "of it raw" in say("list")


def test_list_says_how_to_go_on_with_a_session_that_nobody_finished(
    store: SessionStore, say: Callable[..., str], answer: Answer
) -> None:
    store.writer("begun", manifest=draft()).close()
    [begun, _] = answer("list")["sessions"]
    assert "0 updates are in the store. Finish it with kalshi-ray sessions recover begun" in begun["problem"]
    assert "finish it with kalshi-ray sessions recover begun" in say("analyze", "begun", code=1).lower()


def test_a_copy_in_the_same_store_needs_another_name(store: SessionStore, say: Callable[..., str]) -> None:
    assert "Give --to URL or --as NAME" in say("copy", "live", code=2)
    assert "Give --to URL or --as NAME" in say("copy", "live", "--as", "live", code=2)
    assert "copied to twin" in say("copy", "live", "--as", "twin")
    assert store.open("twin").checksum == store.open("live").checksum
