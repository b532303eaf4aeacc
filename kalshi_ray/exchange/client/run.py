"""Short uses of the client from code that is not asynchronous."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kalshi_ray.exchange.client.keys import opened
from kalshi_ray.exchange.client.trading import ExchangeClient
from kalshi_ray.exchange.settings import ExchangeSettings

T = TypeVar("T")


def run(settings: ExchangeSettings, work: Callable[[ExchangeClient], Awaitable[T]]) -> T:
    """Open the exchange of the settings, do the work, and close it."""

    async def whole() -> T:
        address, signer = opened(settings)
        async with ExchangeClient(address, signer, settings, random.Random()) as exchange:
            return await work(exchange)

    return asyncio.run(whole())
