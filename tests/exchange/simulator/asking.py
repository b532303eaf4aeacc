"""Requests to a surface in memory, signed by a client that shares no code with it."""

from __future__ import annotations

import json
from typing import Any

from kalshi_ray.core.units import MILLISECOND, SECOND
from kalshi_ray.exchange.simulator.rest_api_call import Response
from kalshi_ray.exchange.simulator.surface import Surface
from tests.exchange.simulator.foreign import BASE, Foreigner
from tests.exchange.simulator.serving import foreigners, make_surface

START = 1_791_000_000 * SECOND
ORDERS = "/portfolio/events/orders"


class Answer:
    """Status and body of an answer."""

    def __init__(self, response: Response) -> None:
        self.status, self.raw, self.response = response.status, response.body, response

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def code(self) -> str:
        """The code of a refusal, of either shape that has one."""
        body = self.json
        return str(body.get("error", body)["code"])


class Asking:
    """A surface, a clock, and two who ask."""

    def __init__(self, **parts: Any) -> None:
        self.now_ns = START
        self.surface: Surface = make_surface(START, **parts)
        self.exchange = self.surface.exchange
        self.first, self.second = foreigners()

    def __call__(
        self, method: str, path: str, body: Any = None, *, who: Foreigner | None = None, signed: bool = True,
        raw: bytes | None = None,
    ) -> Answer:  # fmt: skip
        """Ask; the path is below the root and may carry a query."""
        plain = BASE + path.partition("?")[0]
        headers = (who or self.first).headers(method, plain, at_ms=self.now_ns // MILLISECOND) if signed else {}
        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        lower = {name.lower(): word for name, word in headers.items()}
        return Answer(self.surface.handle(method, BASE + path, lower, sent, self.now_ns))

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now_ns += round(seconds * SECOND)
        self.surface.turn(self.now_ns)
