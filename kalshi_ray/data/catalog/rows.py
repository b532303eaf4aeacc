"""The tables `sessions` and `pieces`: one statement for each thing that is asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal
from uuid import UUID

from kalshi_ray.data.catalog.link import Link
from kalshi_ray.data.catalog.migrations import Step, check_version, lock_of, quoted
from kalshi_ray.data.catalog.outline import Told
from kalshi_ray.data.catalog.rights import check_may_write
from kalshi_ray.data.catalog.urls import Place
from kalshi_ray.data.schema import FileEntry
from kalshi_ray.errors import StoreOutdated

_SLICE = 1 << 24  # bytes of a content sent at a time: over a slow line they come, and come within the time for it


class Holding(Enum):
    """What a write keeps others from doing to the session until it is over: the lock of its row."""

    PIECES = "KEY SHARE"  # deleting it
    ROWS = "NO KEY UPDATE"  # the same, and changing its tables
    ALONE = "UPDATE"  # everything


@dataclass(frozen=True)
class Entry:
    """One line of `pieces`."""

    name: str
    kind: Literal["document", "blob", "table"]
    size: FileEntry
    content: bytes | None = None


class Rows:
    """Statements on `sessions` and `pieces` of one schema; what changes something belongs into a transaction."""

    def __init__(self, place: Place, steps: Sequence[Step]) -> None:
        self._place, self._steps = place, steps
        self._home = quoted(place)
        self._joined = f"{self._home}.pieces p JOIN {self._home}.sessions s ON s.number = p.session"

    async def ids(self, link: Link) -> list[str]:
        """Names of all sessions, sorted as Python sorts."""
        return sorted(row["id"] for row in await link.rows(f"SELECT id FROM {self._home}.sessions"))

    async def outline(self, link: Link, session_id: str | None) -> dict[str, dict[str, Told]]:
        """The pieces of all sessions, or of one if it is there; documents are small and come along."""
        found = await link.rows(
            "SELECT s.id, p.name, p.bytes, CASE p.kind WHEN 'table' THEN p.rows END AS rows,"
            " CASE p.kind WHEN 'document' THEN p.content END AS content"
            f" FROM {self._home}.sessions s LEFT JOIN {self._home}.pieces p ON p.session = s.number"
            " WHERE $1::text IS NULL OR s.id = $1",
            session_id,
        )
        sessions: dict[str, dict[str, Told]] = {row["id"]: {} for row in found}
        for row in found:
            if row["name"] is not None:  # a session that was only just begun
                sessions[row["id"]][row["name"]] = Told(row["bytes"], row["rows"], row["content"])
        return sessions

    async def sizes(self, link: Link, session_id: str) -> dict[str, int]:
        """Bytes of the pieces of a session."""
        found = await link.rows(f"SELECT p.name, p.bytes FROM {self._joined} WHERE s.id = $1 ORDER BY 1", session_id)
        return {row["name"]: row["bytes"] for row in found}

    async def content(self, link: Link, session_id: str, name: str) -> bytes | None:
        """A document or a blob; None if there is none."""
        sql = (
            f"SELECT p.call, p.bytes, substring(p.content FROM $3 FOR {_SLICE}) AS slice FROM {self._joined}"
            " WHERE s.id = $1 AND p.name = $2 AND p.kind <> 'table'"
        )
        slices: list[bytes] = []
        call, held = None, 0
        while (row := await link.row(sql, session_id, name, held + 1)) is not None:
            if row["call"] != call:  # the first, or it was replaced meanwhile
                call, held, is_later = row["call"], 0, held > 0
                slices.clear()
                if is_later:
                    continue
            slices.append(row["slice"])
            held += len(row["slice"])
            if held >= row["bytes"] or not row["slice"]:
                return b"".join(slices)
        return None

    async def hash_of_content(self, link: Link, session_id: str, name: str) -> str | None:
        """sha256 of a document or a blob, computed by the server."""
        sql = f"SELECT encode(sha256(p.content), 'hex') FROM {self._joined} WHERE s.id = $1 AND p.name = $2"
        found: str | None = await link.value(sql, session_id, name)
        return found

    async def number(self, link: Link, session_id: str) -> int | None:
        """The session's number; None if there is none."""
        number: int | None = await link.value(f"SELECT number FROM {self._home}.sessions WHERE id = $1", session_id)
        return number

    async def numbers(self, link: Link, session_id: str, name: str) -> tuple[int, int] | None:
        """The session's number and the rows of one of its tables; None if there is none."""
        sql = f"SELECT p.session, p.rows FROM {self._joined} WHERE s.id = $1 AND p.name = $2 AND p.kind = 'table'"
        row = await link.row(sql, session_id, name)
        return None if row is None else (row["session"], row["rows"])

    async def written_by(self, link: Link, session_id: str, name: str, call: UUID) -> FileEntry | None:
        """The piece, if it is what that call wrote."""
        sql = f"SELECT p.rows, p.bytes, p.sha256 FROM {self._joined} WHERE s.id = $1 AND p.name = $2 AND p.call = $3"
        row = await link.row(sql, session_id, name, call)
        return None if row is None else FileEntry(rows=row["rows"], bytes=row["bytes"], sha256=row["sha256"])

    async def begin(self, link: Link, session_id: str, holding: Holding) -> int | None:
        """Hold a session until the transaction ends and return its number; None if there is none.

        No migration can come in between: it waits for us, or we for it, and then the version is another.
        """
        await link.run("SELECT pg_advisory_xact_lock_shared($1)", lock_of(self._place))
        version = await link.value(f"SELECT max(version) FROM {self._home}.schema_version")
        try:
            check_version(self._place, version, self._steps)
        except StoreOutdated:
            link.is_checked = False
            raise
        await check_may_write(link, self._place)
        sql = f"SELECT number FROM {self._home}.sessions WHERE id = $1 FOR {holding.value}"
        number: int | None = await link.value(sql, session_id)
        return number

    async def begin_or_make(self, link: Link, session_id: str, holding: Holding) -> int:
        """The same; a session that does not exist is made."""
        while (number := await self.begin(link, session_id, holding)) is None:
            await link.run(f"INSERT INTO {self._home}.sessions (id) VALUES ($1) ON CONFLICT DO NOTHING", session_id)
        return number

    async def holds(self, link: Link, number: int, name: str) -> bool:
        """Whether a session that is held has a piece."""
        sql = f"SELECT 1 FROM {self._home}.pieces WHERE session = $1 AND name = $2"
        return await link.value(sql, number, name) is not None

    async def enter(self, link: Link, number: int, entry: Entry, call: UUID, *, is_new: bool = False) -> bool:
        """Enter a piece, or replace it; False if it must be new and is not."""
        conflict = (
            "NOTHING"
            if is_new
            else "UPDATE SET kind = excluded.kind, rows = excluded.rows, bytes = excluded.bytes,"
            " sha256 = excluded.sha256, content = excluded.content, call = excluded.call, written = now()"
        )
        sql = (
            f"INSERT INTO {self._home}.pieces (session, name, kind, rows, bytes, sha256, content, call)"
            f" VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (session, name) DO {conflict} RETURNING 1"
        )
        size = entry.size
        cells = (number, entry.name, entry.kind, size.rows, size.bytes, size.sha256, entry.content, call)
        return await link.value(sql, *cells, size=len(entry.content or b"")) is not None

    async def take_away(self, link: Link, session_id: str, name: str, expected: bytes) -> bool:
        """Delete a document that holds `expected`; False if none does."""
        await check_may_write(link, self._place)
        said = await link.run(
            f"DELETE FROM {self._home}.pieces p USING {self._home}.sessions s"
            " WHERE p.session = s.number AND s.id = $1 AND p.name = $2 AND p.content = $3",
            session_id,
            name,
            expected,
        )
        return said != "DELETE 0"

    async def forget(self, link: Link, number: int, name: str) -> None:
        """Delete the line of a piece."""
        await link.run(f"DELETE FROM {self._home}.pieces WHERE session = $1 AND name = $2", number, name)

    async def forget_session(self, link: Link, number: int) -> None:
        """Delete the line of a session, and with it those of its pieces and markets."""
        await link.run(f"DELETE FROM {self._home}.sessions WHERE number = $1", number)
