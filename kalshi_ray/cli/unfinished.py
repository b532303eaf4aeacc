"""Sessions whose writer died: how to go on with them, and `kalshi-ray sessions recover`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, SessionId, settings_of
from kalshi_ray.cli.output import counted, emit_json, note, say
from kalshi_ray.errors import UsageError

if TYPE_CHECKING:
    from kalshi_ray.collect.remainder import Remainder
    from kalshi_ray.data.store import SessionStore, SessionSummary

_MB = 1e6


def recover(
    ctx: typer.Context,
    session: SessionId,
    without_spool: Annotated[
        bool, typer.Option("--without-spool", help="Give up what its collector had not brought into the store.")
    ] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Finish a session whose writer died: every whole part is kept, and of a collected one what lies in its spool.

    To go on recording instead, give its name to `kalshi-ray collect`.

    Example: kalshi-ray sessions recover live-0412
    """
    from kalshi_ray.collect.recovery import recover_session
    from kalshi_ray.data.store import open_store

    store = open_store(settings_of(ctx, config).places.store)
    left = _waiting(store, session, without_spool=without_spool)
    manifest = recover_session(store, session, without_spool=without_spool)
    if as_json:
        emit_json(manifest)
        return
    say(f"{session} is finished: {manifest.updates:,} updates of {manifest.markets:,} markets are whole")
    if left is not None and without_spool:
        say(f"{left.folder} stays: delete the folder if what is in it may be lost")
    elif left is not None:
        say(f"{counted(left.rows, 'row')} of them came from {left.folder}, which is gone now")
    say(f"Next: kalshi-ray sessions validate {session}")


def place_note(summary: SessionSummary) -> str:
    """Where what a collector had not brought into the store is; nothing where there is nothing of the kind."""
    from kalshi_ray.collect.remainder import place_in

    place = place_in(summary)
    if not place.host or summary.state == "writing":
        return ""
    if place.is_here:
        return f"What is not in the store waits in {place.folder}"
    if place.is_on_this_machine:
        return f"Its spool {place.folder} is gone, and with it what was not in the store"
    return f"What is not in the store waits in {place.folder} on {place.host}: go on there"


def _waiting(store: SessionStore, session: str, *, without_spool: bool) -> Remainder | None:
    """What lies in the spool of a session. UsageError where that is not here, and was not given up."""
    from kalshi_ray.collect.remainder import place_in, remainder_of

    summary = store.summary(session)
    place = place_in(summary)
    if summary.state == "writing" or not place.host:
        return None
    if not place.is_here and not without_spool:
        where = f"{place.folder} on this machine is gone"
        remedy = "--without-spool finishes the session with what the store has"
        if not place.is_on_this_machine:
            where = f"{place.folder} is on {place.host}"
            remedy = f"Recover it there, or give that up: {remedy}"
        raise UsageError(f"the spool of session {session!r} with what is not in the store, {where}", remedy=remedy)
    left = remainder_of(store, session)
    if left is not None and left.repair is not None:
        cut = left.repair
        note(
            f"cut from the end of the spool, where the crash had left it half-written: {cut.bytes:,} bytes of rows and "
            f"{cut.raw_bytes:,} of raw lines ({cut.problem})"
        )
    return left
