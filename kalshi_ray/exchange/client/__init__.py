"""Our client of the exchange over sockets: requests on httpx, streams on websockets. Decisions are made elsewhere."""

from kalshi_ray.exchange.client.keys import key_of, opened, readers_of
from kalshi_ray.exchange.client.requester import Requester
from kalshi_ray.exchange.client.run import run
from kalshi_ray.exchange.client.stream import Stream
from kalshi_ray.exchange.client.trading import ExchangeClient

__all__ = ["ExchangeClient", "Requester", "Stream", "key_of", "opened", "readers_of", "run"]
