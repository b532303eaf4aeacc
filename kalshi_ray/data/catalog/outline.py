"""What sessions consist of, as one statement told: enough for a list of them, with no row of theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pyarrow as pa

from kalshi_ray.errors import SessionDamaged


class Told(NamedTuple):
    """One line of `pieces`."""

    size: int  # bytes
    rows: int | None  # None: no table
    content: bytes | None  # of a document


class HeldOutline:
    """All that was told, of one moment. See `data.backend.Outline`."""

    def __init__(self, where: Callable[[str, str], str], sessions: Mapping[str, Mapping[str, Told]]) -> None:
        self._where = where
        self._sessions = sessions

    def ids(self) -> list[str]:
        """Names of the sessions, sorted as Python sorts."""
        return sorted(self._sessions)

    def sizes(self, session_id: str) -> dict[str, int]:
        """Bytes of every piece of a session."""
        return {name: told.size for name, told in sorted(self._sessions.get(session_id, {}).items())}

    def where(self, session_id: str, name: str = "") -> str:
        """Piece, session and database."""
        return self._where(session_id, name)

    def read(self, session_id: str, name: str) -> bytes:
        """A document. FileNotFoundError if there is none."""
        told = self._sessions.get(session_id, {}).get(name)
        if told is None or told.content is None:
            raise FileNotFoundError(self.where(session_id, name))
        return told.content

    def rows(self, session_id: str, name: str, schema: pa.Schema) -> int:
        """Rows as they were counted in the transaction that wrote them. SessionDamaged if there is no such table."""
        told = self._sessions.get(session_id, {}).get(name)
        if told is None or told.rows is None:
            raise missing(self.where(session_id, name))
        return told.rows


def missing(where: str) -> SessionDamaged:
    """The error for a piece that ought to be there."""
    return SessionDamaged(f"{where} is missing", remedy="If nobody deleted it, restore it from a backup")
