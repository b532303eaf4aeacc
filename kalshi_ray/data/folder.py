"""Sessions in a folder: a local one, or one of any `pyarrow.fs` filesystem.

<folder>/sessions/<id>/session.json    manifest, written last
                       markets.parquet, updates/part-00000.parquet …, truth.parquet, raw/part-00000.jsonl.zst …
                       session.draft.json, writer.lock    only while it is being written
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ray.config import without_password
from kalshi_ray.data.files import Files
from kalshi_ray.data.parquet import TableEncoder, open_parquet, read_columns
from kalshi_ray.data.schema import FileEntry
from kalshi_ray.errors import DataError, SessionDamaged

_SESSIONS = "sessions"
_CHUNK = 8 << 20  # bytes hashed at a time


class FolderBackend:
    """Pieces as files: tables as Parquet, everything else as it is. See `data.backend.Backend`."""

    def __init__(self, files: Files, url: str | None = None) -> None:
        self._files = files
        self._url = without_password(url or files.base)

    @property
    def url(self) -> str:
        """The folder as it was named, without a password."""
        return self._url

    @property
    def local(self) -> Path | None:
        """The folder where it is on this machine."""
        return self._files.local

    @property
    def row_sums(self) -> None:
        """None: Parquet is read as fast as it could be summed."""
        return None

    def outline(self, session_id: str | None = None) -> FolderBackend:
        """The folder itself: it says what stands in it when it is asked."""
        return self

    def ids(self) -> list[str]:
        """Names of all sessions, sorted."""
        with self._reading(""):
            return self._files.folders(_SESSIONS)

    def sizes(self, session_id: str) -> dict[str, int]:
        """Bytes of every file of a session."""
        with self._reading(session_id):
            return self._files.sizes(_path(session_id))

    def where(self, session_id: str, name: str = "") -> str:
        """The full path."""
        return self._files.path(_path(session_id, name))

    def read(self, session_id: str, name: str) -> bytes:
        """The bytes of a file. FileNotFoundError if there is none."""
        with self._reading(session_id, name):
            return self._files.read(_path(session_id, name))

    def write(self, session_id: str, name: str, content: bytes | memoryview) -> None:
        """A whole file or nothing."""
        self._files.write(_path(session_id, name), content)

    def create(self, session_id: str, name: str, content: bytes) -> None:
        """A file that is not there yet. Exclusive on a local disk, best effort elsewhere."""
        self._files.create(_path(session_id, name), content)

    def take_away(self, session_id: str, name: str, expected: bytes) -> bool:
        """Remove a file if it still holds `expected`."""
        return self._files.take_away(_path(session_id, name), expected)

    def remove(self, session_id: str, name: str) -> None:
        """Remove a file; nothing if there is none."""
        self._files.drop(_path(session_id, name))

    def remove_session(self, session_id: str) -> None:
        """Remove the folder of a session; nothing if there is none."""
        self._files.drop_folder(_path(session_id))

    def write_table(self, session_id: str, name: str, tables: Iterable[pa.Table], schema: pa.Schema) -> FileEntry:
        """A Parquet file, encoded in memory and written whole; each table is a row group of its own, or several."""
        encoder = TableEncoder(schema)
        for table in tables:
            encoder.add(table)
        content = memoryview(encoder.finish())
        self._files.write(_path(session_id, name), content)
        return FileEntry(rows=encoder.rows, bytes=content.nbytes, sha256=hashlib.sha256(content).hexdigest())

    def rows(self, session_id: str, name: str, schema: pa.Schema) -> int:
        """Rows as the file's footer says."""
        with open_parquet(self._files, _path(session_id, name), schema) as parquet:
            return int(parquet.metadata.num_rows)

    def read_table(
        self,
        session_id: str,
        name: str,
        schema: pa.Schema,
        *,
        columns: Sequence[str] | None = None,
        markets: Sequence[int] | None = None,
    ) -> pa.Table:
        """Rows in their order: some columns in the order asked, some markets only."""
        path = _path(session_id, name)
        if markets is None:
            return read_columns(self._files, path, schema, columns=columns)
        wanted = columns if columns is None or "market" in columns else [*columns, "market"]
        table = read_columns(self._files, path, schema, columns=wanted)
        table = table.filter(pc.is_in(table["market"], pa.array(markets, schema.field("market").type)))
        return table if columns is None else table.select(list(columns))

    def checksum(self, session_id: str, name: str) -> str:
        """sha256 of the file's bytes. SessionDamaged if it is missing or unreadable."""
        path = _path(session_id, name)
        found = hashlib.sha256()
        try:
            with self._files.open(path) as stream:
                while chunk := stream.read(_CHUNK):
                    found.update(chunk)
        except OSError as error:
            raise SessionDamaged(f"{self._files.path(path)} is missing or unreadable: {error}") from error
        return found.hexdigest()

    @contextmanager
    def _reading(self, session_id: str, name: str = "") -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            where = self.where(session_id, name) if session_id else self._url
            raise DataError(
                f"cannot read {where}: {error}", remedy="Check the path, its rights and the disk"
            ) from error


def _path(session_id: str, name: str = "") -> str:
    return f"{_SESSIONS}/{session_id}/{name}" if name else f"{_SESSIONS}/{session_id}"
