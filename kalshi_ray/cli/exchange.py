"""`kalshi-ray exchange`: the exchange for a person at a terminal. By default that is a simulator on this machine."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kalshi_ray.cli import exchange_watch
from kalshi_ray.cli.exchange_words import count_of, leg_of, price_of
from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, note, say, show, table
from kalshi_ray.errors import OutcomeUnknown, UsageError

if TYPE_CHECKING:
    from kalshi_ray.cli.exchange_rows import Row
    from kalshi_ray.exchange.client import ExchangeClient
    from kalshi_ray.exchange.settings import ExchangeSettings
    from kalshi_ray.wire.listing import Market
    from kalshi_ray.wire.trading import AccountFill, Cancel, Order, OrderRequest, Placed, Reduced

ALIASES = {"--environment": "exchange.environment", "--ready-file": "exchange.ready_file"}
SECOND = 1_000_000_000

app = typer.Typer(help="The exchange at a terminal: markets, books, orders, positions.", no_args_is_help=True)
exchange_watch.add_to(app, ALIASES)

Ticker = Annotated[str, typer.Argument(metavar="TICKER", help="A market; see `kalshi-ray exchange markets`.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Lines at most.")]
OnTicker = Annotated[str, typer.Option("--ticker", help="Only this market.")]
Action = Annotated[Literal["buy", "sell"], typer.Argument(metavar="ACTION", help="buy or sell.")]
Outcome = Annotated[Literal["yes", "no"], typer.Argument(metavar="OUTCOME", help="yes or no.")]
Count = Annotated[str, typer.Argument(metavar="COUNT", help="Contracts, to 0.01.")]
Price = Annotated[str, typer.Argument(metavar="PRICE", help="Dollars for one contract of that outcome, such as 0.56.")]
Resting = Annotated[
    Literal["gtc", "ioc", "fok"], typer.Option("--tif", help="Rest; fill at once in part; or at once and wholly.")
]
PostOnly = Annotated[bool, typer.Option("--post-only", help="Never take from the book.")]
ReduceOnly = Annotated[bool, typer.Option("--reduce-only", help="Only make a position smaller; with --tif ioc.")]
Expires = Annotated[int, typer.Option("--expires-in", metavar="SECONDS", min=0, help="0: never.")]
ClientOrderId = Annotated[
    str, typer.Option("--client-order-id", help="Own name of the order, taken once; made up if empty.")
]
Again = Annotated[
    bool, typer.Option("--again", help="It was sent before under this --client-order-id, and may have been placed.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Status = Literal["resting", "canceled", "executed"]
MarketStatus = Literal["unopened", "open", "paused", "closed", "settled", "any"]


@app.command("markets", cls=settings_command("exchange", aliases=ALIASES))
def markets(
    ctx: typer.Context,
    event: Annotated[str, typer.Option("--event", help="Only markets of this event.")] = "",
    series: Annotated[str, typer.Option("--series", help="Only markets of this series.")] = "",
    status: Annotated[MarketStatus, typer.Option("--status", help="Where markets stand in their life.")] = "open",
    limit: Limit = 50,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List markets with the best bid and ask.

    Example: kalshi-ray exchange markets --series KXHIGHNY --limit 20
    """
    from kalshi_ray.cli.exchange_rows import market_row
    from kalshi_ray.wire import bodies, requests

    asked = "" if status == "any" else status

    async def work(exchange: ExchangeClient) -> list[Market]:
        pages = exchange.pages(
            lambda cursor: requests.get_markets(
                event=event, series=series, status=asked, limit=min(limit, 1_000), cursor=cursor
            ),
            bodies.read_markets,
            most=limit,
        )
        return [market async for market in pages]

    settings, found = _done(ctx, config, work)
    _show(settings, "Markets", "markets", [market_row(one) for one in found], as_json)
    if found and not as_json:
        say(f"Next: kalshi-ray exchange watch {found[0].ticker}")


@app.command("book", cls=settings_command("exchange", aliases=ALIASES))
def book(
    ctx: typer.Context,
    ticker: Ticker,
    depth: Annotated[int, typer.Option("--depth", min=1, max=100, help="Levels of each side.")] = 10,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """The order book of a market now, on the YES scale.

    Example: kalshi-ray exchange book KXHIGHNY-26OCT09-B65.5
    """
    from kalshi_ray.cli.exchange_rows import book_rows
    from kalshi_ray.wire import bodies, requests

    settings, found = _done(
        ctx,
        config,
        lambda exchange: exchange.ask(
            requests.get_orderbook(ticker, depth), lambda raw, unknown: bodies.read_orderbook(raw, ticker, unknown)
        ),
    )
    _show(settings, f"Book of {ticker}", "levels", book_rows(found, depth), as_json)


@app.command("order", cls=settings_command("exchange", aliases=ALIASES))
def order(
    ctx: typer.Context,
    ticker: Ticker,
    action: Action,
    outcome: Outcome,
    count: Count,
    price: Price,
    time_in_force: Resting = "gtc",
    post_only: PostOnly = False,
    reduce_only: ReduceOnly = False,
    expires_s: Expires = 0,
    client_order_id: ClientOrderId = "",
    again: Again = False,
    yes: Yes = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Place an order. Asks before it is sent, unless --yes.

    Example: kalshi-ray exchange order KXHIGHNY-26OCT09-B65.5 buy yes 10 0.56 --post-only
    """
    from kalshi_ray.wire.numbers import money_text
    from kalshi_ray.wire.trading import OrderRequest, TimeInForce

    if again and not client_order_id:
        raise UsageError("--again needs the --client-order-id under which the order was sent before")
    pips, lots = price_of(price), count_of(count)
    side, on_yes_scale = leg_of(action, outcome, pips)
    wish = OrderRequest(
        ticker=ticker,
        client_order_id=client_order_id or str(uuid.uuid4()),
        side=side,
        size=lots,
        price=on_yes_scale,
        time_in_force=TimeInForce[time_in_force.upper()],
        post_only=post_only,
        reduce_only=reduce_only,
        expires_ns=-(-(time.time_ns() + expires_s * SECOND) // SECOND) * SECOND if expires_s else 0,
    )
    settings = _settings(ctx, config)
    words = f"{action} {count} {outcome.upper()} of {ticker} at ${price}, ${money_text(pips * lots)} in all before fees"
    _confirm(settings, words, yes=yes, as_json=as_json)
    _report(_sent(settings, wish, again=again), as_json=as_json)


@app.command("cancel", cls=settings_command("exchange", aliases=ALIASES))
def cancel(
    ctx: typer.Context,
    orders: Annotated[list[str] | None, typer.Argument(metavar="ORDER", help="Orders, by their ids.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every working order of the account.")] = False,
    yes: Yes = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Take orders back: those named, or all. Asks before all, unless --yes.

    Example: kalshi-ray exchange cancel 4f1c0c9e-7c1e-4b7e-9a55-0d1f8d8f2a11
    """
    from kalshi_ray.cli.exchange_rows import reduced_row
    from kalshi_ray.exchange.client import run

    if every == bool(orders):
        raise UsageError("name orders or give --all", remedy="See `kalshi-ray exchange orders`")
    settings = _settings(ctx, config)
    if every:
        _confirm(settings, "cancel EVERY working order", yes=yes, as_json=as_json)
        run(settings, lambda exchange: exchange.cancel_all())
        if as_json:
            emit_json({"cancelled": "all"})
        else:
            say("every order is cancelled. Next: kalshi-ray exchange orders --status resting")
        return

    async def work(exchange: ExchangeClient) -> list[Reduced]:
        return [await exchange.cancel(_cancel_of(await exchange.order_of(one))) for one in orders or ()]

    rows = [reduced_row(one) for one in run(settings, work)]
    if as_json:
        emit_json({"orders": rows})
    else:
        say(*(f"order {row['order']}: {row['cancelled']} contracts cancelled" for row in rows))


@app.command("orders", cls=settings_command("exchange", aliases=ALIASES))
def orders_(
    ctx: typer.Context,
    ticker: OnTicker = "",
    status: Annotated[Status | None, typer.Option("--status", help="Only orders that stand so.")] = None,
    limit: Limit = 50,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List own orders, newest first.

    Example: kalshi-ray exchange orders --status resting
    """
    from kalshi_ray.cli.exchange_rows import order_row
    from kalshi_ray.wire import bodies, requests
    from kalshi_ray.wire.trading import OrderStatus

    async def work(exchange: ExchangeClient) -> list[Order]:
        pages = exchange.pages(
            lambda cursor: requests.get_orders(
                ticker=ticker,
                status=OrderStatus(status) if status else None,
                limit=min(limit, 1_000),
                cursor=cursor,
            ),
            bodies.read_orders,
            most=limit,
        )
        return [one async for one in pages]

    settings, found = _done(ctx, config, work)
    _show(settings, "Orders", "orders", [order_row(one) for one in found], as_json)


@app.command("fills", cls=settings_command("exchange", aliases=ALIASES))
def fills(
    ctx: typer.Context,
    ticker: OnTicker = "",
    limit: Limit = 50,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List own fills, newest first. A bid made us longer YES.

    Example: kalshi-ray exchange fills --limit 20
    """
    from kalshi_ray.cli.exchange_rows import fill_row
    from kalshi_ray.wire import bodies, requests

    async def work(exchange: ExchangeClient) -> list[AccountFill]:
        pages = exchange.pages(
            lambda cursor: requests.get_fills(
                tickers=[ticker] if ticker else (), limit=min(limit, 1_000), cursor=cursor
            ),
            bodies.read_fills,
            most=limit,
        )
        return [one async for one in pages]

    settings, found = _done(ctx, config, work)
    _show(settings, "Fills", "fills", [fill_row(one) for one in found], as_json)


@app.command("positions", cls=settings_command("exchange", aliases=ALIASES))
def positions(ctx: typer.Context, ticker: OnTicker = "", config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List what is held in markets that are not settled: positive is YES, negative NO.

    Example: kalshi-ray exchange positions
    """
    from kalshi_ray.cli.exchange_rows import position_row
    from kalshi_ray.wire import bodies, requests
    from kalshi_ray.wire.trading import Page, Position

    async def work(exchange: ExchangeClient) -> list[Position]:
        def page(raw: bytes, unknown: Any) -> Page[Position]:
            read = bodies.read_positions(raw, unknown)
            return Page(read.markets, read.cursor)

        pages = exchange.pages(lambda cursor: requests.get_positions(ticker=ticker, limit=1_000, cursor=cursor), page)
        return [one async for one in pages if one.position]

    settings, found = _done(ctx, config, work)
    _show(settings, "Positions", "positions", [position_row(one) for one in found], as_json)


@app.command("balance", cls=settings_command("exchange", aliases=ALIASES))
def balance(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Cash, and what positions are worth by the exchange's reckoning, in dollars.

    Example: kalshi-ray exchange balance
    """
    from kalshi_ray.cli.exchange_rows import balance_row
    from kalshi_ray.wire import bodies, requests

    settings, found = _done(ctx, config, lambda exchange: exchange.ask(requests.get_balance(), bodies.read_balance))
    if as_json:
        emit_json(balance_row(found))
    else:
        _show(settings, "Balance", "", [balance_row(found)], as_json)


def _settings(ctx: typer.Context, config: Path | None) -> ExchangeSettings:
    return settings_of(ctx, config).exchange


def _done(ctx: typer.Context, config: Path | None, work: Any) -> tuple[ExchangeSettings, Any]:
    """The settings, and what the work returned on the exchange that they choose."""
    from kalshi_ray.exchange.client import run

    settings = _settings(ctx, config)
    return settings, run(settings, work)


def _show(settings: ExchangeSettings, title: str, name: str, rows: Sequence[Row], as_json: bool) -> None:
    from kalshi_ray.cli.exchange_rows import headings

    if as_json:
        emit_json({name: rows})
    elif rows:
        columns, right = headings(rows[0])
        show(table(f"{title} ({settings.environment})", columns, (tuple(row.values()) for row in rows), right=right))
    else:
        say(f"{title} ({settings.environment}): none")


def _confirm(settings: ExchangeSettings, what: str, *, yes: bool, as_json: bool) -> None:
    """Ask a person. Nobody is asked where output is JSON, and nothing is sent without an answer."""
    from kalshi_ray.exchange.client import opened

    address, signer = opened(settings)  # an exchange that is not allowed is refused before anybody is asked
    if signer is None:
        raise UsageError("an order needs a key", remedy="Set exchange.key_id and exchange.private_key_file")
    if yes:
        return
    if as_json:
        raise UsageError("--json asks nothing", remedy="Add --yes to send it")
    where = {"local": "the simulator", "demo": "the demo exchange", "live": "the LIVE exchange, for real money"}
    try:
        is_wanted = typer.confirm(f"{what}, on {where[address.environment]}?", err=True)
    except typer.Abort as problem:
        note("")  # the question stands on its line
        if isinstance(problem.__context__, KeyboardInterrupt):
            raise
        raise UsageError("nobody answered: nothing was sent", remedy="Add --yes to send it") from None
    if not is_wanted:
        note("nothing was sent")
        raise typer.Exit(1)


def _sent(settings: ExchangeSettings, wish: OrderRequest, *, again: bool) -> Placed:
    from kalshi_ray.exchange.client import run

    try:
        return run(settings, lambda exchange: exchange.place(wish, again=again))
    except (OutcomeUnknown, KeyboardInterrupt):
        note(f"to find out, repeat the command with --client-order-id {wish.client_order_id} --again")
        raise


def _report(placed: Placed, *, as_json: bool) -> None:
    from kalshi_ray.cli.exchange_rows import placed_row

    row = placed_row(placed)
    if as_json:
        emit_json(row)
        return
    at = f" at ${row['average_price']}" if row["average_price"] else ""
    say(f"order {row['order']}: {row['filled']} filled{at}, {row['remaining']} resting")
    if placed.remaining:
        say(f"Next: kalshi-ray exchange cancel {row['order']}")


def _cancel_of(order: Order) -> Cancel:
    from kalshi_ray.wire.trading import Cancel

    return Cancel(
        order_id=order.order_id,
        ticker=order.ticker,
        subaccount=order.subaccount,
        exchange_index=order.exchange_index,
    )
