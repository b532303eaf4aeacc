"""Which exchange to talk to, in whose name, and how patiently. The live one has to be asked for twice."""

from __future__ import annotations

import ipaddress
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from kalshi_ray.errors import ConfigError

Environment = Literal["local", "demo", "live"]

HOSTS: dict[str, tuple[str, str]] = {
    "demo": (
        "https://external-api.demo.kalshi.co/trade-api/v2",
        "wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2",
    ),
    "live": ("https://external-api.kalshi.com/trade-api/v2", "wss://external-api-ws.kalshi.com/trade-api/ws/v2"),
}
ALLOW_LIVE = "KALSHI_RAY_EXCHANGE__ALLOW_LIVE"


class ExchangeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The exchange, the key, and the patience of the client."""

    # local: a simulator on this machine; demo: the exchange's own, with play money; live: real money.
    environment: Environment = "local"
    allow_live: Literal["no", "yes"] = "no"  # must be yes as well before anything is sent to the live exchange
    ready_file: str = "simulator.json"  # local: what `kalshi-ray simulate --ready-file` wrote
    account: int = 0  # local: which of the accounts in ready_file
    rest_url: str = ""  # another address than that of the environment, ending in /trade-api/v2
    stream_url: str = ""  # the same for the WebSocket, ending in /trade-api/ws/v2
    key_id: str = ""  # of the API key; local: that of the account if empty
    private_key_file: str = ""  # its private key in PEM, RSA or Ed25519
    private_key_variable: str = "KALSHI_PRIVATE_KEY"  # the variable that holds it where there is no file
    timeout_s: float = 10.0  # for an answer; a write without one is looked up, never sent again blindly
    attempts: int = 5  # of a read, a cancel, or a write that was never sent
    backoff_s: float = 0.25  # before the second attempt; doubled each time, and less by chance
    most_backoff_s: float = 30.0  # between two attempts
    lookup_s: float = 10.0  # how long an order whose answer was lost is looked for
    most_skew_s: float = 5.0  # between this clock and the exchange's before a warning
    cancel_reserve: int = 10  # write tokens kept for cancels
    tickers_per_connection: int = 1_000  # of a stream; more tickers take more connections
    buffered_frames: int = 4_096  # frames read ahead of a slow reader, before the exchange is made to wait
    ping_s: float = 10.0  # how often a stream is probed; one that does not answer within twice that is dialled again

    def __post_init__(self) -> None:
        for name in ("timeout_s", "backoff_s", "most_backoff_s", "lookup_s", "most_skew_s", "ping_s"):
            if not 0 < getattr(self, name) < 86_400:
                raise ValueError(f"{name} must be above 0 and below a day")
        for name in ("attempts", "tickers_per_connection", "buffered_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.account < 0 or self.cancel_reserve < 0:
            raise ValueError("account and cancel_reserve must not be negative")


class ReadyAccount(msgspec.Struct, frozen=True):
    """An account of a simulator."""

    key_id: str
    private_key_file: str
    balance_dollars: str | float = ""


class ReadyFile(msgspec.Struct, frozen=True):
    """Where a simulator serves and whom it knows: what it writes once it does."""

    rest: str
    ws: str
    accounts: tuple[ReadyAccount, ...] = ()
    session: str | None = None
    markets: tuple[str, ...] = ()


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of one exchange."""

    environment: Environment
    rest: str
    stream: str

    @property
    def is_loopback(self) -> bool:
        """Whether it is a simulator on this machine."""
        return self.environment == "local"

    @property
    def rest_path(self) -> str:
        """What comes before a request's own path, as it is signed."""
        return urlsplit(self.rest).path

    @property
    def stream_path(self) -> str:
        """The path of the WebSocket, as it is signed."""
        return urlsplit(self.stream).path


def read_ready(raw: bytes, origin: str) -> ReadyFile:
    """The file in which a simulator says where it is."""
    try:
        return msgspec.json.decode(raw, type=ReadyFile)
    except msgspec.DecodeError as problem:
        raise ConfigError(
            f"{origin} is not the ready file of a simulator: {problem}",
            remedy="Name the file given to `kalshi-ray simulate --ready-file`",
        ) from problem


def address_of(settings: ExchangeSettings, ready: ReadyFile | None = None) -> Address:
    """The addresses to use. ConfigError where they belong to another environment, or to a live one not allowed."""
    chosen = settings.environment
    if chosen == "live" and settings.allow_live != "yes":
        raise ConfigError(
            "exchange.environment is live, where orders cost real money, and exchange.allow_live is no",
            remedy=f"Set {ALLOW_LIVE}=yes if you mean it",
        )
    rest, stream = HOSTS.get(chosen, ("", "")) if ready is None else (ready.rest, ready.ws)
    rest, stream = settings.rest_url or rest, settings.stream_url or stream
    if settings.rest_url and not settings.stream_url:
        stream = _beside(settings.rest_url)
    _check(chosen, "exchange.rest_url", rest, ("http", "https"))
    _check(chosen, "exchange.stream_url", stream, ("ws", "wss"))
    return Address(environment=chosen, rest=rest.rstrip("/"), stream=stream.rstrip("/"))


def environment_of(host: str) -> Environment:
    """Whom a host belongs to. What is neither on this machine nor the exchange's demo counts as live."""
    if _is_loopback(host):
        return "local"
    return "demo" if host == "demo-api.kalshi.co" or host.endswith(".demo.kalshi.co") else "live"


def _check(chosen: Environment, name: str, url: str, schemes: tuple[str, str]) -> None:
    parts = _split(name, url)
    if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ConfigError(f"{name} = {url!r} is not an address such as {schemes[1]}://host/trade-api/…")
    found = environment_of(parts.hostname)
    if found != chosen:
        raise ConfigError(
            f"{name} names {parts.hostname}, which is {found}, while exchange.environment is {chosen}",
            remedy=f"Set exchange.environment = {found}, or take the address away",
        )
    if parts.scheme != schemes[1] and found != "local":
        raise ConfigError(f"{name} = {url!r} is not encrypted", remedy=f"Use {schemes[1]}://")


def _split(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # which is read only now
    except ValueError as problem:
        raise ConfigError(f"{name} = {url!r}: {problem}") from problem
    return parts


def _beside(rest: str) -> str:
    """The stream that belongs to a REST address by the exchange's convention."""
    scheme, _, tail = rest.rstrip("/").partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{tail.removesuffix('/v2')}/ws/v2"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
