"""Files of JSON lines that only ever grow: each addition is one whole write, so that no line is ever half there."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from kalshi_ray.data.files import Files
from kalshi_ray.errors import DataError

Line = TypeVar("Line", bound=msgspec.Struct)


class Lines(Generic[Line]):
    """The records of one file, oldest first. Whoever adds holds the registry's lock."""

    def __init__(self, files: Files, name: str, kind: type[Line]) -> None:
        self._files = files
        self._name = name
        self._decoder = msgspec.json.Decoder(kind)

    def read(self) -> list[Line]:
        """Every line; none where there is no file. DataError where one cannot be read."""
        if not self._files.exists(self._name):
            return []
        try:
            return self._decoder.decode_lines(self._files.read(self._name))
        except msgspec.MsgspecError as error:
            raise DataError(
                f"{self._files.path(self._name)} cannot be read: {error}", remedy="Restore it from a copy"
            ) from error

    def add(self, *made: Line) -> None:
        """Add lines in one write of the whole file; none is no write."""
        if made:
            self._files.write(self._name, msgspec.json.Encoder().encode_lines([*self.read(), *made]))
