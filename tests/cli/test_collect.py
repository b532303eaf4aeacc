"""`kalshi-ray collect` on the command line: what it is told wrongly costs one clear line and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kalshi_ray.cli.app import run
from kalshi_ray.data.store import open_store
from tests.collect.judging import check, raw_frames
from tests.collect.process import Collecting, store_in
from tests.collect.venue import Venue, endless
from tests.data.stores import MovableFolder

TICKER = "KXA-26-T1"


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    with Venue(tmp_path_factory.mktemp("venue"), endless()) as venue:
        yield venue


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody has."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield int(held.getsockname()[1])


def left_in(folder: Path) -> list[str]:
    """Files below a folder."""
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


@pytest.mark.parametrize(
    "line, code, words",
    [
        ("collect s --tickers KXA-26-T1 --ready-file nowhere.json", 2, ["no simulator", "kalshi-ray simulate"]),
        ("collect s", 2, ["names no market", "universe.tickers"]),
        ("collect s --tickers KXA-26-T7", 2, ["KXA-26-T7", "KXA-26-T1"]),
        ("collect s --series KXQ", 2, ["KXQ"]),
        ("collect s --discover --categories Weather", 2, ["Weather"]),
        ("collect s --discover --min-volume 1e9", 2, ["no market to record", "universe.min_volume"]),
        ("collect s --tickers KXA-26-T1 --store ftp://nowhere/x", 2, ["ftp://nowhere/x"]),
        ("collect s --tickers KXA-26-T1 --store s3://", 2, ["'s3://' names no bucket"]),
        ("collect s --tickers KXA-26-T1 --store file.txt", 2, ["file.txt"]),
        ("collect ../s --tickers KXA-26-T1", 2, ["'../s' is no session name", "up to 128 letters"]),
        (f"collect {300 * 's'} --tickers KXA-26-T1", 2, ["…' is no session name", "up to 128 letters"]),
        ("collect s --tickers KXA-26-T1 --duration -1", 2, ["'-1' is no duration", "1h30m"]),
        ("collect s --tickers KXA-26-T1 --duration inf", 2, ["'inf' is no duration"]),
        ("collect s --tickers KXA-26-T1 --limt 3", 2, ["no option --limt", "Did you mean --limit"]),
        ("collect s --discover --status open", 2, ["no option --status", "--universe.status"]),
        ("collect s --tickers KXA-26-T1 --limit 0", 2, ["universe.limit", "got 0"]),
        ("collect s --tickers KXA-26-T1 --metrics-port {taken}", 2, ["{taken}", "metrics_port"]),
        ("collect s --tickers KXA-26-T1 --collect.signal_socket file.txt", 2, ["file.txt", "socket"]),
        ("collect s --tickers KXA-26-T1 --collect.signal_file .", 2, ["signal_file"]),
        ("collect s --tickers KXA-26-T1 --collect.signal_file nowhere/f", 2, ["no folder for nowhere/f"]),
        ("collect s --tickers KXA-26-T1 --exchange.key_id nobody --exchange.private_key_file key.pem", 1, ["key"]),
        ("collect s --tickers KXA-26-T1 --exchange.private_key_file gone.pem", 2, ["gone.pem"]),
        ("collect s --tickers KXA-26-T1 --environment demo", 2, ["key"]),
        (
            "collect s --tickers KXA-26-T1 --store postgresql://nobody@127.0.0.1:{taken}/x?connect_timeout=0.3",
            1,
            ["127.0.0.1"],
        ),
        ("collect s --tickers KXA-26-T1 --collect.spool file.txt", 1, ["file.txt"]),
    ],
)
def test_what_is_wrong_costs_one_clear_line_and_leaves_nothing_behind(
    venue: Venue, here: Path, taken: int, capsys: pytest.CaptureFixture[str], line: str, code: int, words: list[str]
) -> None:
    Path("file.txt").write_text("mine")
    Path("key.pem").write_bytes((venue.folder / "key.pem").read_bytes())
    Path("key.pem").chmod(0o600)
    before = left_in(here)
    given = line.format(taken=taken).split()
    given += [] if "--ready-file" in given else ["--ready-file", str(venue.ready_file)]
    given += ["--exchange.attempts", "2", "--exchange.backoff_s", "0.01"]
    assert run(given) == code
    said = capsys.readouterr()
    assert said.out == ""
    last = said.err.strip().splitlines()[-1]
    for word in words:
        assert word.format(taken=taken) in last
    assert "Traceback" not in said.err
    assert left_in(here) == before


def test_a_store_without_rights_is_one_clear_line(venue: Venue, here: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("everything is allowed to root")
    (here / "store").mkdir(mode=0o500)
    assert run(["collect", "s", "--tickers", TICKER, "--ready-file", str(venue.ready_file)]) == 1


def test_without_a_terminal_lines_of_json_come_and_the_last_has_the_exact_counts(venue: Venue, tmp_path: Path) -> None:
    with Collecting(venue, store_in(tmp_path), "json") as collecting:
        collecting.until_known(4)
        collecting.send(signal.SIGTERM)
        collecting.until(lambda line: bool(line["final"]))
        ending = collecting.stop(signal.SIGINT)  # of somebody impatient, who changes nothing any more
    assert ending.code == 0 and "Traceback" not in ending.said, ending.said
    assert "sessions validate json" in ending.said.splitlines()[-1]
    last = collecting.lines[-1]
    session = open_store(store_in(tmp_path)).open("json")
    counts = check(session, venue)
    assert last["final"] and not any(line["final"] for line in collecting.lines[:-1])
    assert last["rows"] == last["stored_rows"] == session.manifest.updates and last["frames"] == raw_frames(session)
    assert last["rows_by"] == {name: counts[name.upper()] for name in last["rows_by"]}
    assert run(["sessions", "validate", "json", "--store", store_in(tmp_path)]) == 0


def test_a_second_ctrl_c_ends_it_at_once_and_the_same_command_goes_on(venue: Venue, tmp_path: Path) -> None:
    folder = MovableFolder(tmp_path / "store")
    store = str(folder.path)
    # A store that takes nothing any more: it would be waited for, for longer than anybody here waits.
    with Collecting(venue, store, "twice", collect__part_s=0.2, collect__finish_s=86_400) as collecting:
        collecting.until(lambda line: line["parts"] >= 1)
        folder.take()
        collecting.until(lambda line: bool(line["store_problem"]))
        collecting.send(signal.SIGINT)  # which waits for the store
        collecting.until(lambda line: line["connections_up"] == 0)
        collecting.send(signal.SIGINT)
        ending = collecting.stop(signal.SIGINT)  # the third, in the midst of that
    assert ending.code == 130 and "Traceback" not in ending.said
    folder.bring()
    # What was to be recorded it knows from before.
    with Collecting(venue, store, "twice", universe__tickers=None) as collecting:
        assert collecting.until_known(4)["resumed"]
        collecting.kill()
    # One that settled long ago is listed no more; the others are recorded.
    named = ",".join(("KXGONE-26-T1", *venue.tickers))
    with Collecting(venue, store, "twice", universe__tickers=named) as collecting:
        assert collecting.until_known(4)["resumed"]
        assert collecting.stop().code == 0
    check(open_store(store).open("twice"), venue)
