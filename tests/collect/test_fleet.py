"""What is told to shards: in order, whoever tells it, and never in vain without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kalshi_ray.collect.block import Block
from kalshi_ray.collect.collector.fleet import Fleet, ShardLost
from kalshi_ray.collect.collector.shard import Shard, feed_settings
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.wire.commands import Channel
from tests.collect.venue import Venue


def fleet_of(venue: Venue) -> Fleet:
    async def write(blocks: Sequence[Block]) -> None:
        await asyncio.sleep(0.05)  # others have their turn

    plan = venue.plan("s")
    return Fleet(plan.exchange, plan.collect, lambda: 1, 1, write)


def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What shards are told from now on, which they do not do."""
    heard: list[tuple[Any, ...]] = []

    def hears(what: str) -> Any:
        async def hear(self: Shard, line: int, markets: Sequence[str], *more: Any) -> None:
            heard.append((what, line, sorted(markets)))

        return hear

    for what in ("open", "join", "leave"):
        monkeypatch.setattr(Shard, what, hears(what))
    return heard


def test_a_line_is_opened_once_whoever_has_markets_for_it_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = told(monkeypatch)

    async def both(fleet: Fleet) -> None:
        async def later() -> None:
            await asyncio.sleep(0.01)
            await asyncio.gather(fleet.place({"A-2": 1}, {"A-2": "A"}), fleet.leave(["A-1"]))

        await asyncio.gather(fleet.place({"A-1": 0}, {"A-1": "A"}), later())

    with Venue(tmp_path) as venue:
        asyncio.run(both(fleet_of(venue)))
    assert heard == [("open", 1, ["A-1"]), ("join", 1, ["A-2"]), ("leave", 1, ["A-1"])]


def test_a_shard_that_did_not_do_what_it_was_told_counts_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole(fleet: Fleet) -> None:
        async def fails(self: Shard, *told: Any) -> None:
            raise ShardLost("planted")

        with monkeypatch.context() as patched:
            patched.setattr(Shard, "open", fails)
            await fleet.place({"A-1": 0}, {"A-1": "A"})
        with pytest.raises(ShardLost, match="planted"):
            await fleet.take(0, 0.0)
        over, markets = fleet.give_up(0, "planted", again=True)
        assert list(over) == [1] and markets == {"A-1": "A"}
        assert not (await fleet.take(0, 0.0)).blocks

    with Venue(tmp_path) as venue:
        asyncio.run(whole(fleet_of(venue)))


@pytest.mark.parametrize("use_yes_price", [True, False])
def test_a_shard_asks_for_the_axis_that_it_is_told(use_yes_price: bool) -> None:
    asked = feed_settings(CollectSettings(use_yes_price=use_yes_price))
    assert asked.use_yes_price == use_yes_price and asked.channels == (Channel.BOOK, Channel.TRADE, Channel.TICKER)
