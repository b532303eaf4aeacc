"""External values that are recorded beside the stream: one JSON object a line, over a socket or added to a file.

    {"signal": "rain", "value": 0.37, "ticker": "KXRAINNYC-26OCT09-T0"}

`ticker` names a market of the session; without it, or null, the value concerns every market. `value` is any JSON number
from -1,000,000,000 to 1,000,000,000, rounded to the nearest millionth (half to even). `signal` is 1 to 64 letters,
digits, and . _ : / -, at most 256 names in a session. A line has at most 4,096 bytes and ends with a line feed; an
empty one says nothing. Each value is stamped with the time at which the collector read it, which is when it becomes
public to a policy.

On a socket every line gets one line in answer, in order:

    {"ok":true,"recv_ns":1790922689123456789}
    {"ok":false,"error":"no market 'KXQ' in this session"}

A line that is refused changes nothing, and the connection goes on. A sender may write its lines and go; one that stays
and lets its answers lie for a second after they fill the socket gets no more of them, while its lines are still taken.
From a file only lines that are added while the collector runs are read; what is refused is counted and told in the log.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

import msgspec

from kalshi_ray.collect.register import Signal
from kalshi_ray.errors import UsageError

MOST_NAMES = 256
LONGEST_LINE = 4_096  # bytes, without its end
# As far as a number of 53 bits holds every millionth, with a factor of two to spare.
MOST_VALUE = 1_000_000_000
MILLIONTH = Decimal("0.000001")
FORM = '{"signal": "name", "value": 1.25, "ticker": "KX…"}'

_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
_SHOWN = 80  # bytes of a line in an error


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    signal: str
    value: msgspec.Raw
    ticker: str | None = None


_decoder = msgspec.json.Decoder(_Line)


class SignalReader:
    """Reads lines. `names` and `tickers` are those of the session, as they are at that moment."""

    def __init__(self, names: Collection[str], tickers: Container[str]) -> None:
        self._names, self._tickers = names, tickers

    def read(self, line: bytes) -> Signal:
        """The value of a line. UsageError says what is wrong with it."""
        if len(line) > LONGEST_LINE:
            raise UsageError(f"a line of more than {LONGEST_LINE:,} bytes, expected {FORM}")
        try:
            said = _decoder.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as problem:
            raise UsageError(f"{problem} in {_shown(line)}, expected {FORM}") from None
        if not _NAME.fullmatch(said.signal):
            raise UsageError(f"signal {said.signal[:_SHOWN]!r} is no name of 1 to 64 letters, digits or . _ : / -")
        if said.signal not in self._names and len(self._names) >= MOST_NAMES:
            raise UsageError(f"{said.signal!r} would be signal number {MOST_NAMES + 1}, and {MOST_NAMES} is the most")
        if said.ticker is not None and said.ticker not in self._tickers:
            raise UsageError(f"no market {said.ticker[:_SHOWN]!r} in this session")
        return Signal(name=said.signal, value=_value(bytes(said.value)), ticker=said.ticker)


class Lines:
    """Bytes as they come, cut into lines. A line that is too long comes once, too long, and its rest is passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_passing = False

    @property
    def rest(self) -> bytes:
        """A line whose end has not come; empty while one that is too long is passed over."""
        return b"" if self._is_passing else self._rest

    def feed(self, content: bytes) -> list[bytes]:
        """The lines that are whole now, without their ends; empty ones left out."""
        *whole, self._rest = (self._rest + content).split(b"\n")
        found = [line.removesuffix(b"\r") for line in whole]
        if self._is_passing and found:
            self._is_passing = False
            del found[0]
        if len(self._rest) > LONGEST_LINE + 1:
            if not self._is_passing:
                found.append(self._rest[: LONGEST_LINE + 1])
            self._is_passing, self._rest = True, b""
        return [line for line in found if line.strip()]


def _value(text: bytes) -> float:
    """A JSON number to the nearest millionth, read from its digits."""
    shown = _shown(text)
    if not text or text[:1] not in b"-0123456789":
        raise UsageError(f"value is {shown}, expected a number")
    try:
        exact = Decimal(text.decode())
        if -MOST_VALUE <= exact <= MOST_VALUE:
            return float(exact.quantize(MILLIONTH, ROUND_HALF_EVEN))
    except InvalidOperation:  # an exponent beyond all reason
        pass
    raise UsageError(f"value {shown} is not between -{MOST_VALUE:,} and {MOST_VALUE:,}")


def _shown(line: bytes) -> str:
    text = line[:_SHOWN].decode(errors="replace")
    return repr(text + ("…" if len(line) > _SHOWN else ""))
