"""Compile what turns frames into books before there is a connection, which would have to wait for it."""

from __future__ import annotations

import numpy as np

from kalshi_ray.exchange.feed import Feed
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.wire.commands import Channel

_SUBSCRIBED = b'{"type":"subscribed","id":1,"msg":{"channel":"orderbook_delta","sid":1}}'
_FRAMES = (
    b'{"type":"orderbook_snapshot","sid":1,"seq":1,"msg":{"market_ticker":"A","market_id":"0",'
    b'"yes_dollars_fp":[["0.4000","1.00"]],"no_dollars_fp":[["0.5000","1.00"]]}}',
    b'{"type":"orderbook_delta","sid":1,"seq":2,"msg":{"market_ticker":"A","market_id":"0","price_dollars":"0.4000",'
    b'"delta_fp":"1.00","side":"yes","ts":"2026-01-01T00:00:00.000000Z","ts_ms":1767225600000}}',
)


def warm_feed() -> None:
    """Compile the kernels of a feed, some ten seconds after a change of them; milliseconds where they are compiled."""
    feed = Feed(FeedSettings(channels=(Channel.BOOK,), use_yes_price=False), ["A"])
    feed.connect(1)
    feed.receive(_SUBSCRIBED, 1)
    feed.receive_many(_FRAMES, np.ones(len(_FRAMES), np.int64))
