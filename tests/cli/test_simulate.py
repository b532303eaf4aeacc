"""`kalshi-ray simulate` as a process of its own, met by a client in plain httpx."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from kalshi_ray.cli.app import run
from kalshi_ray.cli.simulate_files import ReadyPlace, keys_folder
from kalshi_ray.core import jit
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.store import open_store
from kalshi_ray.errors import Stopped
from tests.data.samples import market_table
from tests.exchange.simulator.foreign import BASE, SOCKET, Foreigner, order_body

QUICK = ("--synth.markets", "4", "--synth.hours", "0.05", "--synth.regime", "calibrated")
MOST_S = 100  # for a process to begin or to end, on a machine that is busy


@contextmanager
def process_of(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process, whose ready file and whose temporary files lie in a folder; it is ended."""
    program = [sys.executable, "-c", "from kalshi_ray.cli import main; main()"]
    command = [*program, "simulate", "--ready-file", str(folder / "ready.json"), *options]
    kernels = jit.cache_folder(Path(jit.__file__)).parents[1]  # which may be below the folder for temporary files
    places = os.environ | {"TMPDIR": str(folder), "NUMBA_CACHE_DIR": str(kernels)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=places)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=MOST_S)


def waited_for(process: subprocess.Popen[bytes], found: Callable[[], bool]) -> None:
    """Wait until something is so, while the process lives."""
    until = time.monotonic() + MOST_S
    while not found():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def read(ready: Path) -> dict[str, Any] | None:
    """A ready file, where there is one."""
    try:
        found: dict[str, Any] = json.loads(ready.read_bytes())
    except FileNotFoundError:
        return None
    return found


@contextmanager
def simulator(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """The process and its ready file, once it serves."""
    ready = folder / "ready.json"
    with process_of(folder, *QUICK, *options) as process:
        waited_for(process, ready.exists)
        yield process, json.loads(ready.read_bytes())


def test_it_serves_what_its_ready_file_says_and_stops_at_sigterm(tmp_path: Path) -> None:
    with simulator(tmp_path, "--accounts", "2", "--dollars", "50", "--speed", "1000") as (process, ready):
        assert sorted(ready) == ["accounts", "markets", "pid", "rest", "session", "ws"]
        assert ready["pid"] == process.pid
        assert [sorted(one) for one in ready["accounts"]] == [["balance_dollars", "key_id", "private_key_file"]] * 2
        key_file = Path(ready["accounts"][0]["private_key_file"])
        assert key_file.stat().st_mode & 0o777 == 0o600
        who = Foreigner(ready["accounts"][0]["key_id"], key_file)
        headers = who.headers("GET", BASE + "/portfolio/balance")
        answer = httpx.get(ready["rest"] + "/portfolio/balance", headers=headers)
        assert answer.json()["balance_dollars"] == "50.0000"
        listed = httpx.get(ready["rest"] + "/markets").json()["markets"]
        assert [one["ticker"] for one in listed] == ready["markets"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(MOST_S) == 0
        assert not key_file.exists() and os.listdir(tmp_path) == []


def test_a_session_moves_by_steps_alone_where_that_was_asked(tmp_path: Path) -> None:
    with simulator(tmp_path, "--step", "--key-kind", "ed25519") as (_, ready):
        origin = ready["rest"].removesuffix(BASE)
        assert httpx.get(origin + "/simulator").json()["replay"]["updates"] == 0
        moved = httpx.post(origin + "/simulator/step", json={"updates": 100}).json()
        assert moved["replay"]["updates"] == 100
        books = [httpx.get(f"{ready['rest']}/markets/{ticker}/orderbook").json() for ticker in ready["markets"]]
        assert any(book["orderbook_fp"]["yes_dollars"] for book in books)
        account = ready["accounts"][0]
        who = Foreigner(account["key_id"], account["private_key_file"])
        path = BASE + "/portfolio/events/orders"
        body = order_body(ready["markets"][0], price="0.0100", count="1")
        placed = httpx.post(origin + path, json=body, headers=who.headers("POST", path))
        assert placed.status_code == 201, placed.text


def test_it_ends_by_itself_after_its_duration(tmp_path: Path) -> None:
    with process_of(tmp_path, *QUICK, "--duration", "0.5", "--keys", str(tmp_path / "keys"), "--accounts", "1") as it:
        assert it.wait(MOST_S) == 0
    assert len(os.listdir(tmp_path / "keys")) == 1
    assert os.listdir(tmp_path) == ["keys"]


def test_clients_that_are_connected_do_not_keep_it_from_ending(tmp_path: Path) -> None:
    """One between two requests, one that says nothing, one that listens; what it tells them last is a close frame."""
    with simulator(tmp_path, "--speed", "100", "--accounts", "1") as (process, ready):
        account, address = ready["accounts"][0], httpx.URL(ready["rest"])
        who = Foreigner(account["key_id"], account["private_key_file"])
        idle = socket.create_connection((address.host, address.port))
        headers = who.headers("GET", SOCKET)
        with httpx.Client() as asking, connect(ready["ws"], additional_headers=headers, compression=None) as listening:
            assert asking.get(ready["rest"] + "/markets").status_code == 200
            params = {"channels": ["orderbook_delta"], "market_tickers": ready["markets"]}
            listening.send(json.dumps({"id": 1, "cmd": "subscribe", "params": params}))
            listening.recv(timeout=MOST_S)
            process.send_signal(signal.SIGTERM)
            assert process.wait(MOST_S) == 0
            with pytest.raises(ConnectionClosed) as ended:
                while True:
                    listening.recv(timeout=MOST_S)
            assert ended.value.rcvd is not None and ended.value.rcvd.code == 1001
        idle.close()


def test_what_a_killed_simulator_left_is_nobodys_address(tmp_path: Path) -> None:
    """Its ready file goes before the next one serves, so that whoever waits for the file waits for this one."""
    ready, left = tmp_path / "ready.json", {"rest": "http://127.0.0.1:9/trade-api/v2", "pid": 1}
    ready.write_text(json.dumps(left))
    with process_of(tmp_path, *QUICK, "--accounts", "1") as process:
        waited_for(process, lambda: read(ready) != left)
        waited_for(process, lambda: read(ready) is not None)
        found = read(ready)
        assert found is not None and found["pid"] == process.pid != left["pid"] and found["rest"] != left["rest"]
        assert httpx.get(found["rest"] + "/exchange/status").status_code == 200


def test_sigterm_before_it_serves_leaves_nothing_behind(tmp_path: Path) -> None:
    """It is busy with a long session, and its folder for keys is there already."""
    with process_of(tmp_path, "--synth.markets", "2000", "--synth.hours", "4") as process:
        waited_for(process, lambda: any(name.startswith("kalshi-ray-keys-") for name in os.listdir(tmp_path)))
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=MOST_S)
        assert process.returncode == 143
        assert b"stopped by SIGTERM before it served" in error and b"Traceback" not in error
    assert os.listdir(tmp_path) == []


def test_who_is_stopped_right_after_the_folder_of_keys_was_made_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    def stopped(path: str, mode: int = 0o777) -> None:
        make(path, mode)
        raise Stopped("by SIGTERM", exit_code=143)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "mkdir", stopped)
    with pytest.raises(Stopped), keys_folder(None):
        pass
    assert os.listdir(tmp_path) == []


def test_a_port_that_is_taken_is_refused_before_a_session_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ready = tmp_path / "ready.json"
        assert run(["simulate", "--session", "nowhere", "--port", str(port), "--ready-file", str(ready)]) == 2
    error = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1: something serves there already" in error and error.count("\n") == 1
    assert not ready.exists()


@pytest.mark.parametrize("markets", [0, 2])
def test_a_session_without_a_market_that_lives_is_one_line(
    markets: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """None listed, or none with an update."""
    store = open_store(str(tmp_path / "store"))
    with store.writer("empty", manifest=Manifest(id="empty", source="synthetic")) as writer:
        writer.add_markets(market_table("KXA-26-T1", "KXA-26-T2")[:markets])
        writer.commit()
    assert run(["simulate", "--session", "empty", "--store", str(tmp_path / "store")]) == 2
    error = capsys.readouterr().err
    assert "session 'empty' has no market with an update" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [("--speed", "0"), ("--speed", "-2"), ("--speed", "1001"), ("--speed", "1e3"), ("--port", "65536"),
     ("--duration", "-1"), ("--duration", "nan"), ("--accounts", "0"), ("--dollars", "-1"), ("--dollars", "nan")],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_by_their_option(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["simulate", f"{option}={value}"]) == 2
    error = capsys.readouterr().err
    assert option.removeprefix("--") in error


def test_a_pace_and_steps_by_hand_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "--step", "--speed", "5"]) == 2
    assert "--step moves the session by hand: there is no --speed. Give one of the two" in capsys.readouterr().err


def test_the_ready_file_of_another_simulator_is_left_alone(tmp_path: Path) -> None:
    with ReadyPlace(tmp_path / "r") as place:
        place.write(b"ours")
        (tmp_path / "r").write_bytes(b"another's")
    assert (tmp_path / "r").read_bytes() == b"another's"
    with ReadyPlace(tmp_path / "r"):
        assert os.listdir(tmp_path) == []
    with ReadyPlace(tmp_path / "r") as place:
        place.write(b"ours")
        (tmp_path / "r").unlink()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--faults", "nowhere.toml"], "--faults nowhere.toml: No such file"),
        (["--tier", "gold"], "no tier named 'gold'"),
        (["--key-kind", "dsa"], "no kind of key named 'dsa'"),
        (["--session", "nowhere"], "nowhere"),
        (["--ready-file", "missing/ready.json"], "the folder of missing/ready.json does not exist"),
        (["--ready-file", "."], ". cannot be written: Is a directory"),
        (["--keys", "/dev/null"], "--keys /dev/null is no folder to write to"),
        (["--keys", "/dev/null/deep"], "--keys /dev/null/deep is no folder to write to"),
    ],
)
def test_what_cannot_be_is_one_line(
    options: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["simulate", *QUICK, *options]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_a_plan_of_faults_that_is_none_names_the_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("gaps = 0.1\n")
    assert run(["simulate", "--faults", str(plan)]) == 2
    assert "gaps" in capsys.readouterr().err
