"""Lists in pages. A cursor says after which item the next page begins: items that come meanwhile do no harm."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from kalshi_ray.wire.trading import Page

T = TypeVar("T")
Place = tuple[int, str]  # where an item stands; places of a list never tie

_decoder: msgspec.json.Decoder[Place] = msgspec.json.Decoder(Place)


def page_of(
    items: Sequence[T], place: Callable[[T], Place], *, limit: int, cursor: str, newest_first: bool = False
) -> Page[T]:
    """The items after the cursor, at most `limit`. A cursor that is none begins at the front, as on the exchange."""
    after = _place_of(cursor)
    ordered = sorted(items, key=place, reverse=newest_first)
    if after is not None:
        ordered = [one for one in ordered if (place(one) < after if newest_first else place(one) > after)]
    chosen = tuple(ordered[:limit])
    return Page(chosen, _cursor_of(place(chosen[-1])) if len(ordered) > len(chosen) else "")


def _cursor_of(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _place_of(cursor: str) -> Place | None:
    if not cursor:
        return None
    try:
        return _decoder.decode(base64.urlsafe_b64decode(cursor.encode()))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None
