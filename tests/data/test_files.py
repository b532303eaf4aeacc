"""Files of a store: what a disk refuses has its name, and a new file is whose it is on any disk."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from pyarrow import fs

from kalshi_ray.data.files import Files
from kalshi_ray.errors import DataError, StoreFull
from tests.data.limits import files_of_at_most


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(fs.LocalFileSystem(), str(tmp_path))


def test_a_file_larger_than_the_system_allows_is_no_file_and_the_limit_is_named(files: Files) -> None:
    files.write("folder/f", b"before")
    with files_of_at_most(1_000), pytest.raises(StoreFull, match=r"reached the size .* limited.*ulimit -f"):
        files.write("folder/f", b"x" * 1_001)
    assert files.sizes() == {"folder/f": 6} and files.read("folder/f") == b"before"
    files.write("folder/f", b"x" * 1_001)


def test_a_new_file_is_ours_though_the_answer_to_its_link_was_lost(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def twice(source: str, target: str) -> None:
        link(source, target)
        link(source, target)  # the network disk asks again, and is told that it is there

    monkeypatch.setattr(os, "link", twice)
    files.create("f", b"mine")
    assert files.sizes() == {"f": 4}
    with pytest.raises(FileExistsError):
        files.create("f", b"yours")
    assert files.read("f") == b"mine"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_disk_without_links_has_files_that_only_one_makes(
    files: Files, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(source: str, target: str) -> None:
        raise OSError(number, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    files.create("f", b"mine")
    with pytest.raises(FileExistsError):
        files._link("f", "f", b"yours")  # another one came between the look and the making
    assert files.sizes() == {"f": 4} and files.read("f") == b"mine"
    assert files.take_away("f", b"mine") and not files.sizes()


def test_a_disk_that_fails_while_a_file_is_taken_away_says_so(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.create("f", b"mine")
    read = Files.read

    def failing(self: Files, name: str) -> bytes:
        if name != "f":
            raise OSError(errno.EIO, "Input/output error")
        return read(self, name)

    monkeypatch.setattr(Files, "read", failing)
    with pytest.raises(DataError, match="Input/output error"):
        files.take_away("f", b"mine")


def test_a_file_that_somebody_else_put_there_meanwhile_is_never_away(tmp_path: Path) -> None:
    """Two take over from a dead one; the slower one must not move what the faster one made, not even for a moment."""
    may_go_on, has_read, moved = threading.Event(), threading.Event(), list[bytes]()

    class Slow(Files):
        def read(self, name: str) -> bytes:
            content = super().read(name)
            if name != "lock":
                moved.append(content)
            has_read.set()
            may_go_on.wait(30.0)
            return content

    quick, slow = Files(fs.LocalFileSystem(), str(tmp_path)), Slow(fs.LocalFileSystem(), str(tmp_path))
    quick.write("lock", b"dead")

    def take_over() -> None:
        quick.take_away("lock", b"dead")
        quick.create("lock", b"quick")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(slow.take_away, "lock", b"dead")
        assert has_read.wait(30.0)
        second = pool.submit(take_over)
        wait([second], 0.2)
        may_go_on.set()
        first.result(30.0)
        second.result(30.0)
    assert moved == [b"dead"] and quick.read("lock") == b"quick"
