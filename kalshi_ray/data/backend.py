"""What a store of sessions has to be able to do: keep named pieces, whole or not at all.

Sessions consist of pieces with the same names everywhere: documents (`session.json`, `session.draft.json`,
`writer.lock`), tables (`markets.parquet`, `truth.parquet`, `updates/part-00000.parquet` …) and blobs
(`raw/part-00000.jsonl.zst` …). A folder keeps each as a file; a database keeps documents and blobs as they are, and
tables as rows. What a session is, and when it is finished, is decided above, once for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from kalshi_ray.data.rowsum import RowSum
from kalshi_ray.data.schema import FileEntry


class Outline(Protocol):
    """What there is, without the rows: enough to say of a session how it stands.

    Errors: DataError where the store refuses (full, no rights), StoreDown where it cannot be reached, SessionDamaged
    where a piece is missing or not what it should be, FileNotFoundError from `read`.
    """

    def ids(self) -> list[str]:
        """Names of all sessions, finished or not, sorted."""

    def sizes(self, session_id: str) -> dict[str, int]:
        """Bytes of every piece by name; empty if there is no such session. Does not read the pieces."""

    def where(self, session_id: str, name: str = "") -> str:
        """What to call a session or a piece of it in a message."""

    def read(self, session_id: str, name: str) -> bytes:
        """A document. FileNotFoundError if there is none."""

    def rows(self, session_id: str, name: str, schema: pa.Schema) -> int:
        """Rows of a table, from the store itself, without reading them where that can be."""


class Backend(Outline, Protocol):
    """Keeps the pieces of sessions. A write is whole or nothing, and survives a crash once it returns."""

    @property
    def url(self) -> str:
        """The store as people may read it: never with a password."""

    @property
    def local(self) -> Path | None:
        """Its folder where it is one on this machine."""

    @property
    def row_sums(self) -> Callable[[str, Sequence[str]], dict[str, RowSum]] | None:
        """Asks what `rowsum.row_sum` makes of parts of updates as they are stored, 0 for what is not there.

        None where reading the rows costs no more.
        """

    def outline(self, session_id: str | None = None) -> Outline:
        """One look at all sessions, or at one, however many pieces there are.

        Where a question costs a journey it is asked once, and all answers are of one moment; a folder answers piece by
        piece, as it stands when it is asked.
        """

    def read(self, session_id: str, name: str) -> bytes:
        """A document or a blob. FileNotFoundError if there is none."""

    def write(self, session_id: str, name: str, content: bytes | memoryview) -> None:
        """A document or a blob, which may replace one."""

    def create(self, session_id: str, name: str, content: bytes) -> None:
        """A document that must not exist yet. FileExistsError if it does: of two at once one gets it."""

    def take_away(self, session_id: str, name: str, expected: bytes) -> bool:
        """Remove a document if it still holds `expected`; False if somebody else was faster."""

    def remove(self, session_id: str, name: str) -> None:
        """Remove one piece; nothing if there is none."""

    def remove_session(self, session_id: str) -> None:
        """Remove a session with all its pieces."""

    def write_table(self, session_id: str, name: str, tables: Iterable[pa.Table], schema: pa.Schema) -> FileEntry:
        """One table, from its pieces in order; may replace one. Returns its rows, bytes and checksum."""

    def read_table(
        self,
        session_id: str,
        name: str,
        schema: pa.Schema,
        *,
        columns: Sequence[str] | None = None,
        markets: Sequence[int] | None = None,
    ) -> pa.Table:
        """Rows of a table in their order: some columns in the order asked, some values of `market` only."""

    def checksum(self, session_id: str, name: str) -> str:
        """The checksum of a piece computed anew from what is stored, as `write_table` gave it; sha256 for blobs."""
