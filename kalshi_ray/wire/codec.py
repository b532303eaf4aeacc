"""One subscription's frames to messages and back: exact, and never broken by what the exchange adds."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

from kalshi_ray.errors import WireError
from kalshi_ray.wire import decode, decode_private, encode_private
from kalshi_ray.wire import frames as wire
from kalshi_ray.wire.decode import Reading
from kalshi_ray.wire.encode import body_of, encode_message
from kalshi_ray.wire.frames_private import PrivateFrame
from kalshi_ray.wire.messages import Unknown
from kalshi_ray.wire.numbers import milliseconds
from kalshi_ray.wire.shapes import shown
from kalshi_ray.wire.trading import StreamMessage

_READERS = {**decode.READERS, **decode_private.READERS}
for kind, writer in encode_private.WRITERS.items():
    body_of.register(kind, writer)

_FRAMES = {str(frame.__struct_config__.tag): frame for frame in _READERS}
_BODIES = {
    tag: next((f.type for f in msgspec.structs.fields(frame) if f.name == "msg"), None)
    for tag, frame in _FRAMES.items()
}
_known: msgspec.json.Decoder[wire.AnyFrame | PrivateFrame] = msgspec.json.Decoder(wire.AnyFrame | PrivateFrame)
_envelope = msgspec.json.Decoder(wire.Envelope)
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Codec:
    """Decodes and encodes the frames of one subscription. `use_yes_price` is what its subscribe command said.

    Unknown keys, types and words are counted, by name, and never stop the reader; a known field that does not hold
    what it should is a WireError.
    """

    def __init__(self, *, use_yes_price: bool) -> None:
        self._reading = Reading(use_yes_price, Counter())
        self.unknown_keys: Counter[str] = Counter()  # "orderbook_delta.msg.flavour"
        self.unknown_types: Counter[str] = Counter()

    @property
    def use_yes_price(self) -> bool:
        """Whether NO-side prices arrive on the YES axis."""
        return self._reading.use_yes_price

    @property
    def unknown_words(self) -> Counter[str]:
        """Values met that are not documented, such as "market_lifecycle_v2 paused"."""
        return self._reading.unknown_words

    def decode(self, frame: bytes | str) -> StreamMessage:
        """The message of one frame."""
        try:
            known = _known.decode(frame)
        except msgspec.ValidationError:
            raw = frame.encode() if isinstance(frame, str) else frame
            return self._decode_unusual(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise WireError(f"a frame is not JSON: {error}: {shown(frame)}") from error
        return self._message(known, frame)

    def envelope(self, frame: bytes) -> Unknown | None:
        """What a frame that cannot be read says of its subscription and number; None where not even that."""
        try:
            return _unknown(_envelope.decode(frame), frame)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return None

    def encode(self, message: StreamMessage, *, form: Literal["fixed", "cents", "full"] = "fixed") -> bytes:
        """The frame of a message: today's fixed-point form, or the whole cents and contracts of before 2026-03.

        "full" is today's form with every key that the exchange sends, its deprecated ones too, and none of ours.
        """
        return encode_message(message, use_yes_price=self.use_yes_price, form=form)

    def _decode_unusual(self, frame: bytes) -> StreamMessage:
        """A frame that is not as documented: another type, more keys, or wrong."""
        try:
            envelope = _envelope.decode(frame)
        except (msgspec.DecodeError, RecursionError) as error:
            raise WireError(f"not a frame with a type: {error}: {shown(frame)}") from error
        if envelope.type not in _FRAMES:
            self.unknown_types[envelope.type] += 1
            return _unknown(envelope, frame)
        reduced = self._without_unknown_keys(envelope.type, frame)
        try:
            return self._message(_known.decode(reduced), frame)
        except msgspec.DecodeError as error:
            raise WireError(f"{envelope.type}: {error}: {shown(frame)}") from error

    def _without_unknown_keys(self, kind: str, frame: bytes) -> bytes:
        """The same frame with documented keys only; the others are counted."""
        keys = _keys.decode(frame)
        body = _BODIES[kind]
        if "msg" in keys and isinstance(body, type) and issubclass(body, msgspec.Struct):
            try:
                inner = _keys.decode(keys["msg"])
            except msgspec.DecodeError as error:
                raise WireError(f"{kind}: {error}: {shown(frame)}") from error
            kept = self._known_keys(inner, body, f"{kind}.msg")
            keys["msg"] = msgspec.Raw(msgspec.json.encode(kept))
        tag = {"type": keys.pop("type")}
        return msgspec.json.encode(tag | self._known_keys(keys, _FRAMES[kind], kind))

    def _known_keys(
        self, keys: dict[str, msgspec.Raw], struct: type[msgspec.Struct], where: str
    ) -> dict[str, msgspec.Raw]:
        """The documented keys. A null where there is a default says what an absent key says."""
        known = {field.encode_name: field.required for field in msgspec.structs.fields(struct)}
        self.unknown_keys.update(f"{where}.{key}" for key in keys if key not in known)
        return {key: value for key, value in keys.items() if key in known and (known[key] or bytes(value) != b"null")}

    def _message(self, frame: wire.AnyFrame | PrivateFrame, raw: bytes | str) -> StreamMessage:
        envelope = {"sid": frame.sid, "seq": frame.seq, "sent_ns": milliseconds(frame.sending_ts_ms)}
        try:
            message = _READERS[type(frame)](frame, envelope, self._reading)
        except WireError as error:
            raise WireError(f"{error} in {shown(raw)}") from error
        if message is None:  # a word that is not known where one is needed
            whole = raw.encode() if isinstance(raw, str) else raw
            return _unknown(_envelope.decode(whole), whole)
        return message


def _unknown(envelope: wire.Envelope, frame: bytes) -> Unknown:
    return Unknown(
        sid=envelope.sid or 0,
        seq=envelope.seq or 0,
        sent_ns=milliseconds(envelope.sending_ts_ms or 0),
        type=envelope.type,
        raw=frame,
    )
