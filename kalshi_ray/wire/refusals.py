"""The exchange's no in every shape it has on the wire, as one value and back."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

from kalshi_ray.errors import WireError
from kalshi_ray.wire.shapes import Shape, shown
from kalshi_ray.wire.trading import Refused

ErrorShape = Literal["nested", "flat", "msg", "text"]

T = TypeVar("T")

TOO_MANY = "too many requests"


class RequestRefused(WireError):
    """A request that the exchange refuses as it reads it; `refused` is its answer."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(f"{refused.status} {refused.code}: {refused.details or refused.message}")
        self.refused = refused


def bad_request(details: str) -> RequestRefused:
    """What cannot be decoded."""
    return RequestRefused(Refused(status=400, code="bad_request", message="bad request", details=details))


def read_request(shape: Shape[T], raw: bytes) -> T:
    """A request as the exchange reads it: what cannot be decoded is a bad request."""
    try:
        return shape.read(raw)
    except WireError as error:
        raise bad_request(f"json: {error.__cause__}") from error


def refusal(status: int, code: str, details: str = "") -> Refused:
    """A refusal with its code in words as the message, as the exchange writes most of them."""
    return Refused(status=status, code=code, message=code.replace("_", " "), details=details)


def read_error(status: int, raw: bytes) -> Refused:
    """The refusal in an answer of any shape. Never fails: what is not JSON becomes the message."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return Refused(status=status, code="", message=shown(raw))
    return read_refusal(status, body)


def read_refusal(status: int, body: Any) -> Refused:
    """The refusal in a decoded body, or in the `error` of one order of a batch (status 0)."""
    inner = body.get("error") or body if isinstance(body, dict) else body
    if isinstance(inner, str):
        return Refused(status=status, code="", message=inner)
    if not isinstance(inner, dict):
        return Refused(status=status, code="", message=_text(inner))
    message = inner.get("message") or inner.get("msg")
    return Refused(
        status=status, code=_text(inner.get("code")), message=_text(message), details=_text(inner.get("details"))
    )


def usual_shape(refused: Refused) -> ErrorShape:
    """The shape in which the exchange writes this refusal."""
    if refused.status == 429 and not refused.code:
        return "text"
    if not refused.code:
        return "msg"
    return "flat" if refused.code == "bad_request" else "nested"


def write_error(refused: Refused, shape: ErrorShape | None = None) -> bytes:
    """The body of a refusal, in the usual shape or in the one asked for."""
    chosen = shape or usual_shape(refused)
    if chosen == "msg":
        return msgspec.json.encode({"msg": refused.message})
    if chosen == "text":
        return msgspec.json.encode({"error": refused.message or TOO_MANY})
    body = refusal_body(refused)
    return msgspec.json.encode({"error": body} if chosen == "nested" else body)


def refusal_body(refused: Refused) -> dict[str, str]:
    """Code, message and details as keys."""
    body = {"code": refused.code, "message": refused.message}
    return body | ({"details": refused.details} if refused.details else {})


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
