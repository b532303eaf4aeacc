"""Which markets a collector records, and how."""

from __future__ import annotations

from typing import Literal

import msgspec

from kalshi_ray.errors import ConfigError

MarketStatus = Literal["unopened", "open", "paused", "closed", ""]  # those that settled are over


class UniverseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which markets to record: those named by ticker, series or event, and those that are discovered."""

    tickers: tuple[str, ...] = ()  # by name
    series: tuple[str, ...] = ()  # every market of these series that passes the filters below
    events: tuple[str, ...] = ()  # the same for events
    discover: bool = False  # the whole exchange, busiest first
    status: MarketStatus = "open"  # of markets found by series, event or discovery; empty: any
    categories: tuple[str, ...] = ()  # of their events or series; empty: any
    min_volume: float = 0.0  # contracts since they opened
    min_volume_24h: float = 0.0  # contracts of the last day
    limit: int = 300  # markets found by series, event or discovery, busiest first; those named always count
    combos: bool = False  # combinations of other markets too
    rediscover_s: float = 60.0  # how often to look for markets that join; 0: never
    refresh_s: float = 300.0  # how often status, close and result are compared with REST; 0: only after a reconnect
    settled_s: float = 3_600.0  # how long a market that closed is waited for to settle before it is left

    def __post_init__(self) -> None:
        for name in ("min_volume", "min_volume_24h", "rediscover_s", "refresh_s", "settled_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"universe.{name} must not be negative, got {getattr(self, name)}")
        if not 1 <= self.limit <= 100_000:
            raise ConfigError(f"universe.limit must be from 1 to 100,000, got {self.limit}")


class CollectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a collector works. Its memory is bounded by `most_pending_mb` and the largest part."""

    shards: int = 0  # 0: in this process; otherwise so many Ray actors, each with connections of its own
    trades: bool = True  # prints too
    ticker: bool = True  # ticker frames too; they are kept raw, for there is no row for them
    raw: bool = True  # keep frames as received
    use_yes_price: bool = True  # have NO sides in prices of YES; false: for an exchange that does not know the flag
    flush_s: float = 0.5  # what is older than this survives a crash of the machine
    block_s: float = 0.1  # rows leave a connection at least so often
    part_rows: int = 1_000_000  # a part of the session is written when it has so many rows …
    part_s: float = 600.0  # … or is so old
    most_pending_mb: int = 64  # received and not yet on disk, over all connections; then the exchange is made to wait
    spool: str = ""  # folder for what is not yet in the store; empty: beside a store on this disk, else ./spool
    lost_s: float = 10.0  # a shard that says nothing for so long is given up and started again
    finish_s: float = 30.0  # how long a disk or a store is waited for at the end, before the rest stays in the spool
    queue_positions_s: float = 30.0  # how often own queue positions are asked for, with a key; 0: never
    signal_socket: str = ""  # Unix socket that takes signals, one JSON object a line
    signal_file: str = ""  # file whose lines are read as they are added; the same form
    metrics_port: int = 0  # Prometheus metrics on loopback; 0: none
    report_s: float = 5.0  # how often the counters are told where there is no terminal

    def __post_init__(self) -> None:
        for name in ("flush_s", "block_s", "part_s", "lost_s", "finish_s", "report_s"):
            if not 0 < getattr(self, name) <= 86_400:
                raise ConfigError(f"collect.{name} must be above 0 and at most a day, got {getattr(self, name)}")
        for name, least, most in (
            ("shards", 0, 64),
            ("part_rows", 1_000, 50_000_000),
            ("most_pending_mb", 1, 65_536),
            ("metrics_port", 0, 65_535),
        ):
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"collect.{name} must be from {least} to {most:,}, got {getattr(self, name)}")
        if not 0 <= self.queue_positions_s <= 86_400:
            raise ConfigError(f"collect.queue_positions_s must be from 0 to 86400, got {self.queue_positions_s}")
