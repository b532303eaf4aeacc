"""How a collector is shown: a screen that fits any terminal, lines of JSON elsewhere, exact counts at the end."""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kalshi_ray.cli.collect_view import CollectScreen, _Lines, reporting
from kalshi_ray.collect.status import GIGABYTE, Markets, Status, closing_line
from kalshi_ray.core.units import SECOND

TERMINAL = {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
ENVIRONMENT = os.environ | TERMINAL | {"PYTHONPATH": str(Path(__file__).parents[2])}
T0 = 1_700_000_000 * SECOND
STATUS = Status(
    session="live", store="./data", environment="simulated", at_ns=T0, started_ns=T0, disk_free_bytes=100 * GIGABYTE,
    markets=Markets(recorded=12, known=9, joining=3, settled=4), frames={"market": 100}, rows={"delta": 90},
)  # fmt: skip
TROUBLED = msgspec.structs.replace(
    STATUS, store_problem="connection refused at a host with a very long name " * 3, disk_problem="no space left",
    unknown_frames={"weather": 3}, gaps={"sequence": 5, "reconnect": 2, "recorder": 1}, shards=4, shards_lost=2,
    happenings=tuple(f"something {at} that takes many words to say " * 3 for at in range(20)),
)  # fmt: skip


def at(seconds: float, **changes: object) -> Status:
    return msgspec.structs.replace(STATUS, **({"at_ns": T0 + round(seconds * SECOND)} | changes))


def drawn(status: Status, width: int, height: int) -> list[str]:
    screen = CollectScreen()
    screen.take(status)
    out = io.StringIO()
    Console(file=out, width=width, height=height, force_terminal=True, color_system=None).print(screen)
    return out.getvalue().splitlines()


@given(st.sampled_from([STATUS, TROUBLED]), st.booleans(), st.integers(20, 220), st.integers(2, 60))
def test_the_screen_fits_any_terminal(status: Status, is_final: bool, width: int, height: int) -> None:
    lines = drawn(msgspec.structs.replace(status, is_final=is_final), width, height)
    below = closing_height(status, width) + 1 if is_final else 0
    assert len(lines) <= max(1, height - 1 - below)
    assert all(len(line) <= width for line in lines)
    assert "●" in lines[0]


def closing_height(status: Status, width: int) -> int:
    """Lines of the exact counts, and what to do next below them."""
    out = io.StringIO()
    Console(file=out, width=width).print(closing_line(status))
    return len(out.getvalue().splitlines())


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 15), (40, 24), (40, 15), (200, 50), (100, 10)])
def test_values_stand_beside_their_names_however_narrow_it_is(width: int, height: int) -> None:
    text = "\n".join(drawn(STATUS, width, height))
    for name, value in (("recorded", "12"), ("frames", r"\d+/s"), ("rows", r"\d+/s"), ("store", "up"), ("gaps", "0")):
        assert re.search(rf"\b{name} +{value}\b", text), (name, text)


@given(st.integers(60, 220), st.integers(24, 60))
def test_what_a_person_should_look_at_is_on_the_screen_however_small_it_is(width: int, height: int) -> None:
    text = "\n".join(drawn(TROUBLED, width, height))
    for words in ("connection refused", "no space left", "weather (3)", "shards lost", "gaps", "waits"):
        assert words in text


def test_a_screen_of_nothing_says_what_is_waited_for() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(CollectScreen())
    assert "waiting for the exchange" in out.getvalue()


def test_the_happenings_of_last_stand_below_the_groups() -> None:
    lines = drawn(msgspec.structs.replace(STATUS, happenings=("KXA leaves: settled", "line 1 is back")), 160, 40)
    assert "KXA leaves: settled" in lines[-2] and "line 1 is back" in lines[-1]


# -- lines


def test_lines_come_now_and_then_with_the_rates_of_the_time_between_and_at_last_of_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with reporting(as_json=True, report_s=5.0) as tell:
        tell(at(0))
        for second in range(1, 11):
            tell(at(second, frames={"market": 100 + 20 * second}, happenings=(f"happening {second}",)))
        tell(at(10.5, frames={"market": 310}, is_final=True, happenings=("the end",)))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["running_s"] for line in lines] == [0, 5, 10, 10.5]
    assert [line["frames_per_s"] for line in lines[1:]] == [20, 20, 29.5]
    assert [len(line["happenings"]) for line in lines] == [0, 5, 5, 1], "none is left out"
    assert (lines[-1]["final"], lines[-1]["frames"]) == (True, 310)


def test_without_a_terminal_there_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting() as tell:
        tell(STATUS)
    assert json.loads(capsys.readouterr().out)["session"] == "live"


def test_what_others_print_is_among_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(as_json=True) as tell:
        sys.stdout.write("(raylet) WARNING: 8 PYTHON worker processes have been started\n")
        tell(STATUS)
    told = capsys.readouterr()
    assert [json.loads(line)["session"] for line in told.out.splitlines()] == ["live"]
    assert "raylet" in told.err


def test_a_clock_that_goes_back_stops_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(as_json=True, report_s=5.0) as tell:
        tell(at(100))
        tell(at(10))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_recording_goes_on_when_the_reader_of_the_lines_goes_away() -> None:
    program = """
import sys
from kalshi_ray import telemetry
from kalshi_ray.cli.collect_view import reporting
from tests.cli.test_collect_view import at
telemetry.configure()
with reporting(as_json=True, report_s=0.001) as tell:
    for second in range(20_000):
        tell(at(second))
print("recorded to the end", file=sys.stderr)
"""
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" -c "$1" | head -1', sys.executable, program],
        capture_output=True, timeout=120, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    told, last = done.stderr.decode().splitlines()
    assert "collect.lines_lost" in told and "Broken pipe" in told, "once"
    assert last == "recorded to the end" and done.returncode == 0
    assert len(done.stdout.splitlines()) == 1


def test_recording_goes_on_when_there_is_no_room_for_the_lines_and_they_come_again_when_there_is() -> None:
    takes, shown = [7, OSError(errno.ENOSPC, "No space left on device"), 1 << 20, 1 << 20], b""

    def write(line: bytes) -> int:
        nonlocal shown
        taken = takes.pop(0)
        if isinstance(taken, OSError):
            raise taken
        shown += line[:taken]
        return min(taken, len(line))

    lines = _Lines(write)
    for second in range(3):
        lines.show(at(second))
    torn, *whole = shown.decode().splitlines()
    assert torn == '{"time"' and [json.loads(line)["running_s"] for line in whole] == [1, 2]


@pytest.mark.parametrize("closed", [">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_where_the_lines_go_decides_nothing(closed: str) -> None:
    program = """
import sys
from kalshi_ray.cli import app, main
from kalshi_ray.cli.collect_view import reporting
from kalshi_ray.cli.output import note
from tests.cli.test_collect_view import at

@app.app.command("record")
def record():
    with reporting(report_s=0.001) as tell:
        for second in range(20):
            tell(at(second))
    note("recorded to the end")

main(["record"])
"""
    done = subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {closed}', sys.executable, program],
        capture_output=True, timeout=120, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr and b"rror:" not in done.stderr


def test_a_terminal_that_is_closed_stops_nothing() -> None:
    program = """
import os, pty, sys
from kalshi_ray.cli.collect_view import reporting
from tests.cli.test_collect_view import at
ours, theirs = pty.openpty()
os.dup2(theirs, 1)
with reporting() as tell:
    tell(at(0))
    os.close(ours)
    tell(at(5))
    tell(at(6, is_final=True))
print("recorded to the end", file=sys.stderr, flush=True)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, env=ENVIRONMENT | {"LINES": "6"}, check=False
    )
    assert done.stderr.decode().splitlines() == ["recorded to the end"] and done.returncode == 0


def test_a_terminal_shows_the_screen_and_at_the_end_the_exact_counts() -> None:
    program = """
import os
from kalshi_ray.cli.collect_view import reporting
from tests.cli.test_collect_view import at
with reporting() as tell:
    for second in range(5):
        tell(at(second))
    os.write(1, b"^C")  # as a terminal does where the cursor is
    tell(at(5, is_final=True, rows={"delta": 123_456}))
"""
    ours, theirs = pty.openpty()
    done = subprocess.Popen([sys.executable, "-c", program], stdout=theirs, env=ENVIRONMENT)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65_536):
            shown += part
    except OSError:  # the other end is closed
        pass
    assert done.wait(60) == 0
    os.close(ours)
    text = shown.decode()
    before = text.partition("^C")[0]
    assert re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", before).endswith("\n"), "on a line of its own"
    assert "recording" in text and "book known" in text
    assert "live: 123,456 rows (delta 123,456) from 100 frames in 00:00:05" in " ".join(text.splitlines()[-2:])
