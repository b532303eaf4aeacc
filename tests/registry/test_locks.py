"""One writer at a time, and the lock of a dead one stops nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from kalshi_ray.data.files import Files, open_files
from kalshi_ray.data.owner import Owner
from kalshi_ray.errors import DataError
from kalshi_ray.registry.locks import LOCK, only_writer

HOLDING = """
import sys
from kalshi_ray.data.files import open_files
from kalshi_ray.registry.locks import only_writer
with only_writer(open_files(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdin
    assert process.stdout.readline() == "held\n"
    yield process
    process.stdin.close()
    process.wait()


@pytest.fixture
def elsewhere() -> Files:
    """An empty place that is no disk of ours."""
    files = open_files("fsspec+memory:///locks")
    for name in files.sizes():
        files.remove(name)
    return files


def test_a_writer_waits_for_another_and_names_it_when_it_does_not_end(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    words = f"process {holder.pid} on .* does not end"
    with pytest.raises(DataError, match=words), only_writer(open_files(str(tmp_path)), patience_s=0.05):
        pytest.fail("two writers at once")


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with only_writer(open_files(str(tmp_path)), patience_s=0.0):
        assert (tmp_path / LOCK).exists()


def test_a_lock_is_given_back_when_the_work_fails(tmp_path: Path) -> None:
    files = open_files(str(tmp_path))
    with pytest.raises(ZeroDivisionError), only_writer(files):
        _ = 1 / 0
    with only_writer(files, patience_s=0.0):
        pass


def test_elsewhere_a_living_owner_is_waited_for_and_a_dead_one_replaced(elsewhere: Files) -> None:
    named = pytest.raises(DataError, match=f"process {os.getpid()} .* remove .*{LOCK}")
    with only_writer(elsewhere), named, only_writer(elsewhere, patience_s=0.05):
        pytest.fail("two writers at once")
    assert not elsewhere.exists(LOCK)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = Owner(host=Owner.this().host, pid=ended.pid, birth=1)
    elsewhere.write(LOCK, msgspec.json.encode({"owner": dead, "mark": "m"}))
    with only_writer(elsewhere, patience_s=0.0):
        assert f'"pid":{os.getpid()}'.encode() in elsewhere.read(LOCK)


def test_elsewhere_a_lock_that_names_nobody_is_respected(elsewhere: Files) -> None:
    elsewhere.write(LOCK, b"somebody")
    with pytest.raises(DataError, match="another process writes"), only_writer(elsewhere, patience_s=0.0):
        pytest.fail("two writers at once")
    assert elsewhere.read(LOCK) == b"somebody"
