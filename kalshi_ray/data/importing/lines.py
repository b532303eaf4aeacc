"""JSON lines of recorders: what stands in a line, and when it was received."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import BinaryIO, NamedTuple, cast

import msgspec
import numpy as np
import pyarrow as pa

from kalshi_ray.data.importing.options import TimeUnit
from kalshi_ray.data.importing.times import from_local, names_no_zone
from kalshi_ray.errors import DataError, WireError
from kalshi_ray.wire.numbers import scaled, time_of

_DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0, "auto": 0}
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Line(NamedTuple):
    """One line of a file that is not blank; `number` counts from 1."""

    path: str
    number: int
    text: bytes

    def __str__(self) -> str:
        return f"{self.path}, line {self.number}"

    def fields(self) -> dict[str, msgspec.Raw]:
        """The fields of the line's object, undecoded. WireError if it holds none."""
        try:
            return _fields.decode(self.text)
        except msgspec.DecodeError as error:
            raise WireError(f"{self}: {error}", remedy="Expected one JSON object a line") from error


def lines_of(path: str) -> Iterator[Line]:
    """The lines of a file, blank ones left out. DataError if it cannot be read."""
    try:
        with _open(path) as stream:
            for number, text in enumerate(stream, start=1):
                if text.strip():
                    yield Line(path, number, text)
    except (OSError, EOFError, pa.ArrowException) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def text_or_object(value: msgspec.Raw) -> bytes:
    """JSON that stands as an object, or as text that holds it."""
    content = bytes(value)
    return msgspec.json.decode(content, type=str).encode() if content.startswith(b'"') else content


def time_in(value: msgspec.Raw, unit: TimeUnit, zone: str, where: object, *, form: str) -> int:
    """A time in a line in nanoseconds since the epoch: a number in `unit`, or ISO 8601 text."""
    raw = bytes(value)
    text = msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else raw.decode()
    is_iso = unit == "iso" or (unit == "auto" and raw.startswith(b'"'))
    try:
        if not is_iso:
            return scaled(Decimal(text), _DIGITS[unit], "time")
        if not names_no_zone(text):
            return time_of(text)
        return int(from_local(np.array([time_of(text + "Z")], np.int64), zone, str(where), form)[0])
    except (WireError, InvalidOperation) as error:
        raise WireError(f"{where}: {text!r} is not a time in {unit}: {error}") from error


def _open(path: str) -> BinaryIO:
    if path.endswith(".gz"):
        return cast("BinaryIO", gzip.open(path, "rb"))
    if path.endswith(".zst"):
        return cast("BinaryIO", io.BufferedReader(pa.input_stream(path, compression="zstd")))
    return open(path, "rb")
