"""Accounts with keys, and markets by their table, for an exchange that is about to be served."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import UsageError
from kalshi_ray.exchange.simulator.auth import Auth, make_key
from kalshi_ray.exchange.simulator.settings import MarketTerms

if TYPE_CHECKING:
    from kalshi_ray.core.tape import ViewPack
    from kalshi_ray.exchange.simulator.exchange import Exchange
    from kalshi_ray.exchange.simulator.replay import Pace

Listed = dict[str, Any]  # a row of a session's market table

PPM = 1_000_000
UNKNOWN_FEE = "quadratic_with_maker_fees"  # the dearest common one, as environments charge


def make_accounts(
    exchange: Exchange, auth: Auth, count: int, dollars: float, folder: Path, kind: str
) -> list[dict[str, str]]:
    """Accounts with a key each, and how they are told: key id, file of the private key, balance."""
    told = []
    for _ in range(count):
        key_id = str(uuid.uuid4())
        key, pem = make_key(kind)
        auth.add(key_id, key, exchange.create_account(dollars))
        path = folder / f"{key_id}.pem"
        _write_secret(path, pem)
        told.append({"key_id": key_id, "private_key_file": str(path), "balance_dollars": f"{dollars:.4f}"})
    return told


def _write_secret(path: Path, content: bytes) -> None:
    """A file that its owner alone can read, from its first byte on."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
    except OSError as problem:
        raise UsageError(f"{path} cannot be written: {problem.strerror}") from problem


def open_markets(exchange: Exchange, pack: ViewPack, listed: list[Listed], pace: Pace | None) -> None:
    """List every market of a tape. Without a pace markets open and close where the tape says so."""
    for view in pack.views:
        exchange.open_market(_terms(listed[int(view["market"])], int(view["status"]), pace))


def _terms(row: Listed, status: int, pace: Pace | None) -> MarketTerms:
    open_ns = close_ns = 0
    if pace is not None:
        if status == Status.INITIALIZED and row["open_ns"] > pace.tape_ns:
            open_ns = pace.second_at(row["open_ns"])
        if row["close_ns"] > pace.tape_ns:
            close_ns = max(pace.second_at(row["close_ns"]), open_ns + SECOND)
    return MarketTerms(
        ticker=row["ticker"],
        event=row["event"],
        series=row["series"],
        title=row["ticker"],
        category=row["category"],
        ranges=tuple((band["start"], band["end"], band["step"]) for band in row["price_ranges"]),
        fee_type=row["fee_type"] or UNKNOWN_FEE,
        multiplier_ppm=round(row["fee_multiplier"] * PPM),
        open_ns=open_ns,
        close_ns=close_ns,
    )
