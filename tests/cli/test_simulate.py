"""`kalshi-ray simulate` as a process of its own, met by a client in plain httpx."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from kalshi_ray.cli.app import run
from tests.exchange.simulator.foreign import BASE, Foreigner, order_body

QUICK = ("--synth.markets", "4", "--synth.hours", "0.05", "--synth.regime", "calibrated")


@contextmanager
def simulator(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """The process, and its ready file once it serves; it is ended, and has to end cleanly."""
    ready = folder / "ready.json"
    program = [sys.executable, "-c", "from kalshi_ray.cli import main; main()"]
    command = [*program, "simulate", "--ready-file", str(ready), *QUICK, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        yield process, json.loads(ready.read_bytes())
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_it_serves_what_its_ready_file_says_and_stops_at_sigterm(tmp_path: Path) -> None:
    with simulator(tmp_path, "--accounts", "2", "--dollars", "50", "--speed", "1000") as (process, ready):
        assert sorted(ready) == ["accounts", "markets", "rest", "session", "ws"]
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
        assert process.wait(20) == 0
        assert not key_file.exists()


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
    with simulator(tmp_path, "--duration", "0.5", "--keys", str(tmp_path / "keys"), "--accounts", "1") as (process, _):
        assert process.wait(20) == 0
    assert len(os.listdir(tmp_path / "keys")) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--faults", "nowhere.toml"], "--faults nowhere.toml: No such file"),
        (["--tier", "gold"], "no tier named 'gold'"),
        (["--key-kind", "dsa"], "no kind of key named 'dsa'"),
        (["--session", "nowhere"], "nowhere"),
        (["--ready-file", "missing/ready.json"], "the folder of missing/ready.json does not exist"),
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
