"""The exchange with its whole surface, and the flow that passes through it: what a shell serves.

surface.turn(now_ns)                       # the flow and the timers that are due
response = surface.handle(method, target, headers, body, now_ns)
session = surface.open(headers, now_ns)    # a WebSocket
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kalshi_ray.exchange.simulator import rest_api_operator as operator
from kalshi_ray.exchange.simulator.auth import Auth
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.faults import Faults, RequestFault
from kalshi_ray.exchange.simulator.limits import TOO_MANY_REQUESTS, Limits
from kalshi_ray.exchange.simulator.replay import Replay
from kalshi_ray.exchange.simulator.rest_api import Api
from kalshi_ray.exchange.simulator.rest_api_call import Delivery, Response, refused
from kalshi_ray.exchange.simulator.stream import Stream
from kalshi_ray.exchange.simulator.stream_session import Session
from kalshi_ray.exchange.simulator.stream_settings import StreamSettings
from kalshi_ray.wire.refusals import refusal
from kalshi_ray.wire.trading import Refused

AT_ONCE = 2_000  # updates of the flow before the sockets have their turn


class Surface:
    """One exchange, its REST interface, its streams and its flow."""

    def __init__(
        self,
        exchange: Exchange,
        auth: Auth,
        *,
        limits: Limits | None = None,
        stream: StreamSettings | None = None,
        replay: Replay | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.exchange, self.auth = exchange, auth
        self.api = Api(exchange, auth, limits or Limits())
        self.stream = Stream(exchange, auth, stream, faults)
        self.replay, self.faults = replay, faults
        if faults:
            auth.skew_ns = faults.skew_ns

    def turn(self, now_ns: int) -> bool:
        """Let the flow and the timers come up to now, and tell everybody; whether more of the flow is due."""
        behind = self.replay.advance(self.exchange, now_ns, AT_ONCE) if self.replay else False
        if not behind:
            self.exchange.advance(now_ns)
        self.stream.publish(now_ns)
        return behind

    @property
    def next_ns(self) -> int | None:
        """When something happens by itself next."""
        due = [self.exchange.next_due_ns, self.replay.next_ns if self.replay else None]
        return min((at for at in due if at is not None), default=None)

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes, now_ns: int) -> Response:
        """Answer one request and tell everybody what it did."""
        self.turn(now_ns)
        path = target.partition("?")[0]
        if path == operator.ROOT or path.startswith(operator.ROOT + "/"):
            response = operator.handle(self.exchange, self.replay, method, path, body, now_ns)
            self.stream.publish(now_ns)
            return response
        fault = self.faults.of_request() if self.faults else None
        if fault is RequestFault.TOO_MANY:
            return refused(TOO_MANY_REQUESTS)
        response = self.api.handle(method, target, headers, body, now_ns)
        self.stream.publish(now_ns)
        return self._spoilt(response, fault) if fault else response

    def _spoilt(self, response: Response, fault: RequestFault) -> Response:
        """What arrives of an answer whose request was carried out."""
        if fault is RequestFault.TIMEOUT:
            return msgspec.structs.replace(response, delivery=Delivery.SILENT)
        if fault is RequestFault.HANG_UP:
            return msgspec.structs.replace(response, delivery=Delivery.HANG_UP)
        assert self.faults is not None
        return refused(refusal(self.faults.failure_status(), "service_unavailable"))

    def told_ns(self, now_ns: int) -> int:
        """What the exchange's clock says at that time."""
        return now_ns + self.auth.skew_ns

    def open(self, headers: Mapping[str, str], now_ns: int) -> Session | Refused:
        """A connection for whoever signed its handshake."""
        return self.stream.open(headers, now_ns)

    def receive(self, session: Session, text: bytes | str, now_ns: int) -> None:
        """A message of a connection. What happened before it is told before it is obeyed."""
        self.turn(now_ns)
        session.receive(text, now_ns)
