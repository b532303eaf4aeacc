"""The simulated exchange on a port of this machine: REST and WebSocket side by side, until told to stop."""

from __future__ import annotations

import asyncio
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate

import h11
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from kalshi_ray import telemetry
from kalshi_ray.core.units import SECOND
from kalshi_ray.exchange.loopback import HOST, port_refused
from kalshi_ray.exchange.simulator.rest_api import ROOT
from kalshi_ray.exchange.simulator.rest_api_call import Delivery, Response, refused
from kalshi_ray.exchange.simulator.stream import PATH
from kalshi_ray.exchange.simulator.stream_session import Session
from kalshi_ray.exchange.simulator.stream_settings import MOST_FRAME_BYTES
from kalshi_ray.exchange.simulator.surface import Surface
from kalshi_ray.wire.refusals import refusal, write_error
from kalshi_ray.wire.trading import Refused

HEARTBEAT_S = 10.0
MOST_BODY_BYTES = 8 * 1024 * 1024
LINGER_S = 2.0  # for the other side to read what was said last before the line is cut
WRITE_BUFFER = 1024 * 1024  # bytes under way to a reader before frames wait in its session

FAULT = Response(500, write_error(refusal(500, "internal_server_error")))
TOO_LARGE = refused(refusal(413, "request_too_large"))

Clock = Callable[[], int]


class SimulatorServer:
    """Serves one surface. `start` binds, `stop` ends every connection."""

    def __init__(self, surface: Surface, *, port: int = 0, clock: Clock = time.time_ns) -> None:
        self.surface, self.clock = surface, clock
        self.requested_port = port
        self.streams: dict[Connection, None] = {}
        self.connections: dict[Connection, None] = {}
        self.is_deserted = asyncio.Event()  # set as the last connection goes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heart: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Bind to loopback and serve."""
        self._loop = loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Connection(self), HOST, self.requested_port)
        except OSError as problem:
            raise port_refused(self.requested_port, problem) from problem
        self._heart = loop.call_later(HEARTBEAT_S, self._beat)
        self.pump()

    async def stop(self) -> None:
        """Close the port and every connection; who does not read what was said last is not waited for long."""
        for handle in (self._timer, self._heart):
            if handle:
                handle.cancel()
        if self._server:
            self._server.close()
        for connection in list(self.connections):
            connection.say_goodbye()
        if self.connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.is_deserted.wait(), LINGER_S)
        for connection in list(self.connections):
            connection.cut()
        await asyncio.sleep(0)  # in which those that were cut go
        if self._server:
            await self._server.wait_closed()

    @property
    def port(self) -> int:
        """Where it serves."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def rest(self) -> str:
        """The address of REST."""
        return f"http://{HOST}:{self.port}{ROOT}"

    @property
    def stream(self) -> str:
        """The address of the WebSocket."""
        return f"ws://{HOST}:{self.port}{PATH}"

    def pump(self) -> None:
        """Let everything happen that is due, send what that says, and wake again when more is."""
        assert self._loop is not None
        now_ns = self.clock()
        is_behind = self.surface.turn(now_ns)
        self.flush(now_ns)
        self._wake(0.0 if is_behind else None)

    def flush(self, now_ns: int) -> None:
        """Send what waits in the sessions."""
        for connection in list(self.streams):
            connection.flush(now_ns)

    def served(self, now_ns: int) -> None:
        """A request or a command was carried out: others may have to hear, and timers may have changed."""
        self.flush(now_ns)
        self._wake(None)

    def _wake(self, delay_s: float | None) -> None:
        """Come back after a delay, or when something is due."""
        assert self._loop is not None
        if delay_s is None:
            next_ns = self.surface.next_ns
            if next_ns is None:
                return
            delay_s = max(0.0, (next_ns - self.clock()) / SECOND)
        at = self._loop.time() + delay_s
        if self._timer and not self._timer.cancelled() and self._loop.time() < self._timer.when() <= at:
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self.pump)

    def _beat(self) -> None:
        assert self._loop is not None
        for connection in list(self.streams):
            connection.beat()
        self._heart = self._loop.call_later(HEARTBEAT_S, self._beat)


class Connection(asyncio.Protocol):
    """One connection: requests one after another, or a WebSocket from its handshake on."""

    def __init__(self, server: SimulatorServer) -> None:
        self.server = server
        self._http = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._socket: ServerProtocol | None = None
        self._session: Session | None = None
        self._can_write = True
        self._has_ended = False
        self._message: list[bytes] = []  # fragments of one message
        self._transport: asyncio.Transport

    # -- the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self.server.connections[self] = None
        self.server.is_deserted.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        self.server.connections.pop(self, None)
        self.server.streams.pop(self, None)
        if not self.server.connections:
            self.server.is_deserted.set()
        if self._session:
            self.server.surface.stream.close(self._session)
            self._session = None

    def pause_writing(self) -> None:
        """The reader is slow: frames wait in the session from here on."""
        self._can_write = False

    def resume_writing(self) -> None:
        """The reader has caught up."""
        self._can_write = True
        self.flush(self.server.clock())

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._socket:
            self._receive_socket(data)
            return
        if self._has_ended:
            return
        try:
            self._http.receive_data(data)
            self._read_requests()
        except h11.RemoteProtocolError as problem:
            self._respond(refused(refusal(problem.error_status_hint, "bad_request", str(problem))))
            self._end()

    def eof_received(self) -> bool:
        """The other side sends no more: everything is answered already."""
        if self._socket:
            self._socket.receive_eof()
        return False

    def _end(self) -> None:
        """Send no more. What still comes is read and forgotten, so that the last words are not lost with it."""
        if not self._has_ended and not self._transport.is_closing():
            self._has_ended = True
            self._transport.write_eof()
            asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)

    def say_goodbye(self) -> None:
        """The server stops."""
        if self._socket and self._socket.state is State.OPEN:
            self._socket.send_close(1001, "the simulator stops")
            self._write_socket()
        self._transport.close()

    def cut(self) -> None:
        """End at once; what was not read is lost."""
        self._transport.abort()

    # -- HTTP

    def _read_requests(self) -> None:
        while not self._has_ended and not self._transport.is_closing() and not self._socket:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._head, self._body = event, bytearray()
                if event.target.partition(b"?")[0] == PATH.encode() and _wants_socket(event):
                    self._open_socket()
                    return
                if self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MOST_BODY_BYTES:
                    self._respond(TOO_LARGE)
                    self._end()
            elif isinstance(event, h11.EndOfMessage):
                if not self._answer():
                    return
            else:  # NEED_DATA, PAUSED or the end of the connection
                if isinstance(event, h11.ConnectionClosed):
                    self._transport.close()
                return

    def _answer(self) -> bool:
        """Answer the request that is complete; whether the connection goes on."""
        assert self._head is not None
        head, self._head = self._head, None
        now_ns = self.server.clock()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        try:
            response = self.server.surface.handle(
                head.method.decode(), head.target.decode("latin-1"), headers, bytes(self._body), now_ns
            )
        except Exception as problem:  # a fault of ours must not look like silence
            where = "".join(traceback.format_exception(problem))
            telemetry.error("simulator.fault", request=head.target.decode("latin-1"), traceback=where)
            response = FAULT
        self.server.served(now_ns)
        if response.delivery is Delivery.SILENT:
            return False
        if response.delivery is Delivery.HANG_UP:
            self._transport.abort()
            return False
        self._respond(response)
        if self._http.our_state is h11.MUST_CLOSE:
            self._transport.close()
            return False
        self._http.start_next_cycle()
        return True

    def _respond(self, response: Response) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        date = formatdate(self.server.surface.told_ns(self.server.clock()) / SECOND, usegmt=True)
        headers = [*response.headers, ("date", date)]
        if response.status != 204:
            headers.append(("content-length", str(len(response.body))))
        parts = [h11.Response(status_code=response.status, headers=headers), h11.EndOfMessage()]
        if response.body:
            parts.insert(1, h11.Data(data=response.body))
        self._transport.write(b"".join(self._http.send(part) or b"" for part in parts))

    def _send(self, event: h11.InformationalResponse) -> None:
        self._transport.write(self._http.send(event) or b"")

    # -- the WebSocket

    def _open_socket(self) -> None:
        """Hand the handshake, with what came behind it, to the WebSocket; it must be signed."""
        assert self._head is not None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._head.headers}
        now_ns = self.server.clock()
        opened = self.server.surface.open(headers, now_ns)
        if isinstance(opened, Refused):
            self._respond(refused(opened))
            self._end()
            return
        self._session = opened
        self._socket = ServerProtocol(max_size=MOST_FRAME_BYTES)
        self.server.streams[self] = None
        lines = [b"GET %b HTTP/1.1" % self._head.target, *(b"%b: %b" % header for header in self._head.headers)]
        self._receive_socket(b"\r\n".join(lines) + b"\r\n\r\n" + self._http.trailing_data[0])

    def _receive_socket(self, data: bytes) -> None:
        assert self._socket and self._session
        self._socket.receive_data(data)
        now_ns = self.server.clock()
        for event in self._socket.events_received():
            if isinstance(event, Request):
                self._socket.send_response(self._socket.accept(event))
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._message.append(bytes(event.data))
                if event.fin:
                    whole, self._message = b"".join(self._message), []
                    self.server.surface.receive(self._session, whole, now_ns)
        self._write_socket()
        self.server.served(now_ns)

    def flush(self, now_ns: int) -> None:
        """Send the frames that wait, if the reader keeps up."""
        session = self._session
        is_open = not self._has_ended and not self._transport.is_closing()
        if not session or not self._can_write or not session.has_frames or not is_open:
            return
        parts = [part for frame in session.send_due(now_ns) for part in (_head_of(len(frame)), frame)]
        if session.is_cut:
            self._transport.abort()
            return
        self._transport.write(b"".join(parts))

    def beat(self) -> None:
        """The exchange's heartbeat."""
        if self._socket and self._socket.state is State.OPEN:
            self._socket.send_ping(b"heartbeat")
            self._write_socket()

    def _write_socket(self) -> None:
        """Send what the WebSocket itself has to say, and close where it is closed."""
        assert self._socket
        for part in self._socket.data_to_send():
            if part:
                self._transport.write(part)
            else:
                self._end()


def _wants_socket(request: h11.Request) -> bool:
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in request.headers)


def _head_of(length: int) -> bytes:
    """What stands before an unmasked frame of text."""
    if length < 126:
        return bytes((0x81, length))
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


async def serve_until_stopped(
    server: SimulatorServer, *, duration_s: float | None, when_ready: Callable[[SimulatorServer], None]
) -> None:
    """Serve until SIGTERM, Ctrl-C, or the end of the duration."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        loop.add_signal_handler(number, stopped.set)
    try:
        await server.start()
        when_ready(server)
        try:
            await asyncio.wait_for(stopped.wait(), duration_s)
        except TimeoutError:
            return
    finally:
        await server.stop()
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def run(
    server: SimulatorServer, *, duration_s: float | None = None, when_ready: Callable[[SimulatorServer], None]
) -> None:
    """The same from code that is not asynchronous."""
    asyncio.run(serve_until_stopped(server, duration_s=duration_s, when_ready=when_ready))
