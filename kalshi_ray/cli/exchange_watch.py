"""`kalshi-ray exchange watch`: order books as they move, drawn on a terminal or as JSON, a line for each change."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, Duration, only_errors, settings_command, settings_of
from kalshi_ray.errors import ExchangeError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kalshi_ray.exchange.books import BookView
    from kalshi_ray.exchange.client import ExchangeClient
    from kalshi_ray.exchange.feed import Feed
    from kalshi_ray.wire.messages import Trade

DRAWN_S = 0.125
BAR = 12  # characters of the longest bar


def add_to(app: typer.Typer, aliases: Mapping[str, str]) -> None:
    """Register the command in the group of the exchange."""
    app.command("watch", cls=settings_command("exchange", aliases=aliases))(watch)


def watch(
    ctx: typer.Context,
    tickers: Annotated[list[str], typer.Argument(metavar="TICKER", help="Markets to watch.")],
    depth: Annotated[int, typer.Option("--depth", min=1, help="Levels of each side.")] = 10,
    duration: Duration = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Draw the order books of markets as they move, on the YES scale. With --json one line for each change.

    Example: kalshi-ray exchange watch KXHIGHNY-26OCT09-B65.5 --depth 8
    """
    from kalshi_ray.exchange.client import Stream, run
    from kalshi_ray.exchange.feed import Feed
    from kalshi_ray.exchange.feed_settings import plan_connections
    from kalshi_ray.exchange.warm import warm_feed
    from kalshi_ray.wire import bodies, requests

    settings = settings_of(ctx, config).exchange
    shares = plan_connections(tickers, settings.tickers_per_connection)
    if not as_json:
        only_errors(ctx)  # a warning would tear the picture

    async def work(exchange: ExchangeClient) -> None:
        for ticker in tickers:  # one that is unknown would never have a book
            await exchange.ask(requests.get_market(ticker), bodies.read_market)
        feeds = [Feed(tickers=share) for share in shares]
        ladders = Ladders(feeds, depth)
        warm_feed()
        async with Stream(exchange.address, exchange.signer, settings, feeds, random.Random()) as stream:
            until = time.monotonic() + settings.timeout_s + (duration or 0.0)
            is_there = False
            with _lines(ladders) if as_json else _drawing(ladders) as draw:
                async for events in stream.batches(DRAWN_S):
                    draw(ladders.take(events))
                    if events and not is_there:  # the time to get there is not part of what was asked for
                        is_there, until = True, time.monotonic() + (duration or 0.0)
                    if duration and time.monotonic() >= until:
                        return

    run(settings, work)


class Ladders:
    """Books and last trades of what is watched."""

    def __init__(self, feeds: Iterable[Feed], depth: int) -> None:
        self._books = {ticker: feed.books for feed in feeds for ticker in feed.tickers}
        self._trades: dict[str, Trade] = {}
        self._depth = depth

    def take(self, events: Iterable[Any]) -> list[str]:
        """The tickers that events changed."""
        from kalshi_ray.exchange.feed_events import Dead, Missing, Stale
        from kalshi_ray.wire.messages import Trade

        changed: dict[str, None] = {}
        for event in events:
            if isinstance(event, Dead) and event.is_final:
                raise ExchangeError(f"the exchange refused channel {event.channel.value}: {event.code} {event.text}")
            if isinstance(event, Trade):
                self._trades[event.ticker] = event
            named = event.tickers if isinstance(event, Stale | Missing) else (getattr(event, "ticker", ""),)
            changed.update((ticker, None) for ticker in named if ticker in self._books)
        return list(changed)

    def book(self, ticker: str) -> BookView:
        """The book of a market."""
        return self._books[ticker][ticker]

    def record(self, ticker: str) -> dict[str, Any]:
        """A market as one line of JSON."""
        from kalshi_ray.wire.numbers import count_text, dollars_text

        book, trade = self.book(ticker), self._trades.get(ticker)

        def levels(found: tuple[tuple[int, int], ...]) -> list[tuple[str, str]]:
            return [(dollars_text(price), count_text(size)) for price, size in found[: self._depth]]

        return {
            "time_ns": time.time_ns(),
            "ticker": ticker,
            "known": book.known,
            "bids": levels(book.bids),
            "asks": levels(book.asks),
            "last_trade": trade and (dollars_text(trade.price), count_text(trade.size)),
        }

    def render(self) -> RenderableType:
        """All markets beside each other."""
        from rich.columns import Columns

        return Columns([self._ladder(ticker) for ticker in self._books], padding=(1, 4))

    def _ladder(self, ticker: str) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        from kalshi_ray.wire.numbers import count_text, dollars_text

        record = self.record(ticker)
        book = self.book(ticker)
        bids, asks = book.bids[: self._depth], book.asks[: self._depth]
        most = max((size for _, size in (*bids, *asks)), default=1)
        last = record["last_trade"]
        title = f"{ticker}\nlast trade {last[1]} at {last[0]}" if last else f"{ticker}\nno trade yet"
        made = Table(title=title, box=None, pad_edge=False, title_justify="left", title_style="bold", min_width=40)
        for name in ("", "bids", "price", "asks", ""):
            made.add_column(name, justify="left" if not made.columns or name == "asks" else "right", header_style="dim")
        made.columns[4].justify = "left"
        if not book.known:
            made.add_row("", "", Text("waiting for the book", style="yellow"), "", "")
            return made
        for price, size in reversed(asks):
            made.add_row("", "", dollars_text(price), Text(count_text(size), "red"), Text(_bar(size, most), "red"))
        for price, size in bids:
            bar = Text(_bar(size, most).rjust(BAR), "green")
            made.add_row(bar, Text(count_text(size), "green"), dollars_text(price), "", "")
        return made


def _bar(size: int, most: int) -> str:
    return "█" * max(1, round(BAR * size / most))


@contextmanager
def _lines(ladders: Ladders) -> Iterator[Any]:
    def draw(changed: list[str]) -> None:
        for ticker in changed:
            sys.stdout.write(msgspec.json.encode(ladders.record(ticker)).decode() + "\n")
        sys.stdout.flush()

    yield draw


@contextmanager
def _drawing(ladders: Ladders) -> Iterator[Any]:
    from rich.console import Console
    from rich.live import Live

    with Live(ladders.render(), console=Console(file=sys.stdout), auto_refresh=False) as live:

        def draw(changed: list[str]) -> None:
            if changed:
                live.update(ladders.render(), refresh=True)

        yield draw
