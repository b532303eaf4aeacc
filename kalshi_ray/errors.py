"""Every error a user can meet, as one tree.

    KalshiRayError
    ├── UsageError        the caller asked for something that cannot be (exit code 2)
    │   ├── ConfigError       a setting is unknown, malformed or contradicts another
    │   ├── UnknownName       no session, market, action space, layout … of that name
    │   └── NothingToDo       the selection left nothing: no market, no update
    ├── DataError         recorded data is not what it claims to be (exit code 1)
    │   ├── SessionDamaged    a checksum, a schema or a row is wrong
    │   ├── SessionBusy       another writer owns the session
    │   ├── SessionUnfinished the writer died before the manifest was written
    │   ├── RunBusy           another process writes into the run's folder
    │   └── WireError         a frame or a file does not follow the exchange's format
    ├── ContractError     a bundle and an environment do not fit together (exit code 1)
    ├── OrderRefused      our own risk said no (exit code 1)
    ├── ExchangeError     the exchange, or the way to it (exit code 1)
    │   ├── RequestRejected      it said no; the status, the code and the details are its own
    │   │   └── OrderRejected        to an order, or to a change of one
    │   ├── AuthenticationFailed it does not accept the key, the signature or the clock
    │   ├── RateLimited          more was asked for than the account's budget
    │   ├── ExchangeDown         it does not answer, or only with faults of its own
    │   └── OutcomeUnknown       a write whose answer was lost, and which could not be looked up
    ├── LedgerBroken      money, contracts or books of the simulated exchange do not add up (exit code 1)
    ├── Stopped           Ctrl-C or SIGTERM ended the work (exit code 130 or 143)
    └── GateClosed        a promotion gate said no (exit code 3)

A message says what came, what was expected, and what to do next.
"""

from __future__ import annotations

import difflib


class KalshiRayError(Exception):
    """Base of everything this package raises on purpose. `remedy` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        line = " ".join(message.split())  # libraries write in several lines
        super().__init__(f"{line.rstrip('.')}. {remedy}" if remedy else line)
        self.remedy = remedy


class UsageError(KalshiRayError):
    """The caller asked for something that cannot be."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, malformed, or contradicts another."""


class UnknownName(UsageError):
    """Nothing of that name exists; the nearest and the known names are listed."""

    def __init__(self, kind: str, name: object, known: list[str]) -> None:
        by_lower = {one.lower(): one for one in reversed(known)}
        near = [by_lower[word] for word in difflib.get_close_matches(str(name).lower(), by_lower, n=3, cutoff=0.7)]
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        listed = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        super().__init__(f"no {kind} named {name!r}", remedy=f"{meant}Known: {listed or 'none'}")
        self.kind, self.name, self.known = kind, name, known


class NothingToDo(UsageError):
    """The selection left nothing to work on."""


class DataError(KalshiRayError):
    """Recorded data is not what it claims to be."""


class SessionDamaged(DataError):
    """A checksum, a schema or a row of a session is wrong."""


class SessionBusy(DataError):
    """Another writer owns the session."""


class RunBusy(DataError):
    """Another process writes into the folder of the run."""


class SessionUnfinished(DataError):
    """The writer of the session died before it wrote the manifest."""


class StoreDown(DataError):
    """A store of sessions cannot be reached at present. Nothing was half-written: the same call may succeed later."""


class StoreFull(DataError):
    """No space is left. Nothing was half-written: the same call may succeed once there is."""


class StoreOutdated(DataError):
    """A database holds another version of the schema than this program speaks."""


class WireError(DataError):
    """A frame or a file does not follow the exchange's format."""


class ContractError(KalshiRayError):
    """A bundle and an environment do not fit together; both sides are named."""


class OrderRefused(KalshiRayError):
    """Our own risk said no to an order."""


class LedgerBroken(KalshiRayError):
    """Money, contracts or books of the simulated exchange do not add up: a fault of ours."""


class ExchangeError(KalshiRayError):
    """The exchange said no, or could not be reached."""


class RequestRejected(ExchangeError):
    """The exchange said no to a request."""

    def __init__(self, what: str, *, status: int, code: str, details: str, remedy: str = "") -> None:
        said = ": ".join(part for part in (code, details) if part)
        super().__init__(f"the exchange refused {what} with {said or 'no reason'} (HTTP {status})", remedy=remedy)
        self.status, self.code, self.details = status, code, details


class OrderRejected(RequestRejected):
    """The exchange said no to an order, or to a change of one. Nothing was done."""


class AuthenticationFailed(ExchangeError):
    """The exchange does not accept the key, the signature or the clock."""


class RateLimited(ExchangeError):
    """More was asked for than the account's budget, again and again."""


class ExchangeDown(ExchangeError):
    """The exchange does not answer, or only with faults of its own."""


class OutcomeUnknown(ExchangeError):
    """A write may or may not have been carried out. `client_order_ids` are those that could not be found."""

    def __init__(self, message: str, *, client_order_ids: tuple[str, ...] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.client_order_ids = client_order_ids


class Stopped(KalshiRayError):
    """Ctrl-C or SIGTERM ended the work before there was a result; `exit_code` is what shells expect of the signal."""

    def __init__(self, message: str, *, exit_code: int, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.exit_code = exit_code


class GateClosed(KalshiRayError):
    """A promotion gate said no."""

    exit_code = 3
