"""Recordings made elsewhere to sessions: frames, quotes, prints, books, results, market lists."""

from kalshi_ray.data.importing.options import (
    BookFiles,
    FrameFiles,
    ImportOptions,
    ImportSource,
    QuoteFiles,
    TradeFiles,
)
from kalshi_ray.data.importing.session import import_session

__all__ = [
    "BookFiles",
    "FrameFiles",
    "ImportOptions",
    "ImportSource",
    "QuoteFiles",
    "TradeFiles",
    "import_session",
]
