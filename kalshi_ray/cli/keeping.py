"""`kalshi-ray sessions copy | verify | compact | unlock | delete`: what keeps recordings whole for months."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kalshi_ray.cli.from_raw import Source, copy_from_raw, verify_from_raw
from kalshi_ray.cli.options import AsJson, ConfigFile, SessionId, settings_command, settings_of
from kalshi_ray.cli.output import counted, emit_json, progress_bar, say, show, size, table
from kalshi_ray.cli.unfinished import place_note, recover
from kalshi_ray.errors import NothingToDo, SessionDamaged, UsageError

if TYPE_CHECKING:
    from kalshi_ray.data.store import Census, SessionStore
    from kalshi_ray.data.verify import SessionCheck

FromSource = Annotated[
    Source, typer.Option("--source", help="The rows as they stand, or what the raw lines of the recorder make.")
]


def add_to(app: typer.Typer) -> None:
    """Register the commands in the group of sessions."""
    for name, command in (
        ("copy", copy),
        ("verify", verify),
        ("compact", compact),
        ("recover", recover),
        ("unlock", unlock),
        ("delete", delete),
    ):
        app.command(name, cls=settings_command())(command)


def copy(
    ctx: typer.Context,
    session: SessionId,
    to: Annotated[
        str, typer.Option("--to", metavar="URL", help="Store to copy into: a folder, s3://…; the same if not given.")
    ] = "",
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Name of the copy; its own if not given.")] = "",
    origin: FromSource = "rows",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Copy a session into another store, part by part; again after an interruption it goes on. The end is checked.

    With --source raw it is made anew from the raw lines alone, and compared with what was recorded.

    Example: kalshi-ray sessions copy live-0412 --to postgresql://ray@db.example/kalshi

    Example: kalshi-ray sessions copy live-0412 --store postgresql://ray@db.example/kalshi --to /mnt/archive

    Example: kalshi-ray sessions copy live-0412 --source raw --as live-0412-again
    """
    from kalshi_ray.data.copying import copy_session
    from kalshi_ray.data.store import open_store

    if not to and name in ("", session):
        raise UsageError("a copy in the same store needs another name", remedy="Give --to URL or --as NAME")
    store = _store(ctx, config)
    source, target = store.open(session), open_store(to) if to else store
    if origin == "raw":
        copy_from_raw(source, target, name or session, as_json=as_json)
        return
    with progress_bar() as progress:
        copied = copy_session(source, target, name, progress)
    if as_json:
        emit_json(copied)
        return
    place = f"{copied.session} in {copied.store}"
    if copied.was_there:
        lacking = f", but for {', '.join(copied.lacks)}" if copied.lacks else ""
        say(f"{place} is there already, with equal content{lacking}: nothing was done")
    else:
        begun = f" ({copied.resumed_at:,} stood there from before)" if copied.resumed_at else ""
        say(f"copied to {place}: {copied.updates:,} updates{begun}, content {copied.content[:16]}… is equal")


def verify(
    ctx: typer.Context,
    session: Annotated[str | None, typer.Argument(metavar="SESSION", help="Name of a session.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every session of the store.")] = False,
    origin: FromSource = "rows",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Check every piece of a session by its checksum, and counts and content by its rows. Exit 1 on damage.

    With --source raw the rows are compared with what the raw lines make: exit 1 names the first difference.

    Example: kalshi-ray sessions verify live-0412

    Example: kalshi-ray sessions verify --all --json
    """
    from kalshi_ray.data.verify import verify_session

    if (session is None) is not every:
        raise UsageError("verify takes one session or --all", remedy="Give one of the two")
    store = _store(ctx, config)
    if origin == "raw":
        verify_from_raw(store, session, as_json=as_json)
        return
    checks = []
    for name in store.ids() if session is None else [session]:
        with progress_bar() as progress:
            checks.append(verify_session(store, name, progress))
    if as_json:
        emit_json({"store": store.url, "is_whole": all(one.is_whole for one in checks), "sessions": checks})
    else:
        _show_checks(checks, store.url, in_full=session is not None)
    if bad := [one.session for one in checks if not one.is_whole]:
        raise SessionDamaged(f"damaged: {', '.join(bad)}", remedy="Restore the pieces named above from a copy")


def compact(ctx: typer.Context, session: SessionId, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Cut updates into parts of about a million rows, and pack frames as received harder: a third less on the disk.

    The content is compared before anything goes. The session opens at every moment; interrupted, the same command goes
    on. Frames take a minute for each 7 million updates.

    Example: kalshi-ray sessions compact live-0412
    """
    from kalshi_ray.data.compact import compact_session

    with progress_bar() as progress:
        done = compact_session(_store(ctx, config), session, progress)
    if as_json:
        emit_json(done)
        return
    if done.removed:
        say(f"removed {size(done.removed)} that an interrupted compaction had left")
    is_cut, is_packed = done.parts_before != done.parts, done.raw_bytes_before != done.raw_bytes
    if is_cut:
        say(
            f"{session}: {counted(done.parts_before, 'part')} of {size(done.bytes_before)} are now "
            f"{counted(done.parts, 'part')} of {size(done.bytes)}; content {done.content[:16]}… is unchanged"
        )
    if is_packed:
        say(
            f"{session}: frames as received, {counted(done.raw_parts_before, 'part')} of "
            f"{size(done.raw_bytes_before)}, are now {counted(done.raw_parts, 'part')} of "
            f"{size(done.raw_bytes)}, with the same lines"
        )
    if not is_cut and not is_packed:
        raws = f", {counted(done.raw_parts, 'part')} of frames as received" if done.raw_parts else ""
        say(f"{session} has {counted(done.parts, 'part')} for {done.updates:,} updates{raws}: nothing to do")


def unlock(
    ctx: typer.Context,
    session: SessionId,
    host: Annotated[
        str | None, typer.Option("--host", metavar="NAME", help="The machine of the writer, as a confirmation.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Take the lock of a writer on another machine that is certainly gone. The lock of a dead one here needs nothing.

    Example: kalshi-ray sessions unlock live-0412 --host collector-2
    """
    store = _store(ctx, config)
    if host is None:
        owner = store.owner(session)
        if owner is None:
            raise NothingToDo(f"nobody writes session {session!r}: there is no lock to be taken")
        if owner.is_dead:
            raise NothingToDo(
                f"{owner} is dead, and its lock needs no taking",
                remedy=f"Finish the session with kalshi-ray sessions recover {session}, or go on with what wrote it",
            )
        raise UsageError(
            f"session {session!r} is being written by {owner}",
            remedy=f"If that process is gone for certain, confirm with --host '{owner.host}'",
        )
    owner = store.unlock(session, host=host)
    say(f"took the lock of {session} from {owner}. Next: kalshi-ray sessions recover {session}")


def delete(
    ctx: typer.Context,
    session: Annotated[list[str], typer.Argument(metavar="SESSION", help="Name of one session.")],
    rows: Annotated[int | None, typer.Option("--rows", help="Updates that it holds, as a safeguard.")] = None,
    config: ConfigFile = None,
) -> None:
    """Delete one session for good. What it holds is counted and shown; confirm by its name, or by --rows.

    The spool of an unfinished one is told of, and goes too if it is on this machine.

    Example: kalshi-ray sessions delete demo --rows 120000
    """
    from kalshi_ray.collect.remainder import delete_session, remainder_of

    if len(session) != 1:
        raise UsageError(f"{len(session)} sessions were named: {', '.join(session)}", remedy="Delete one at a time")
    store, name = _store(ctx, config), session[0]
    if rows is None:
        held, left = store.count(name), remainder_of(store, name)
        _show_census(name, held)
        if left is not None:
            more = f"{counted(left.rows, 'row')} more in {size(left.bytes)}"
            say(f"and {more} of its spool {left.folder}, which goes too")
        elif elsewhere := place_note(store.summary(name)):
            say(f"{elsewhere}; it is not touched")
        rows = held.rows + (left.rows if left is not None else 0)
        if not _typed(name):
            raise UsageError(
                f"session {name!r} holds {rows:,} updates: nothing was deleted", remedy=f"Delete it with --rows {rows}"
            )
    gone = delete_session(store, name, expected_rows=rows)
    say(f"deleted {name} with {rows:,} updates, {size(gone.bytes)}")


def _typed(name: str) -> bool:
    """Whether a person at a terminal typed the name."""
    if not _is_terminal():
        return False
    say("This cannot be undone. Type the name of the session to delete it:")
    return sys.stdin.readline().strip() == name


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _show_census(name: str, held: Census) -> None:
    rows: list[tuple[str, int]] = [*held.kinds.items(), ("all", held.rows)]
    show(table(f"What {name} holds", ("kind", "rows"), rows, right=("rows",)))
    raw = f", of which {size(held.raw_bytes)} frames as received" if held.raw_bytes else ""
    say(f"{size(held.bytes)} in {counted(held.parts, 'part')}{raw}")
    if held.unreadable:
        say(f"cannot be counted: {', '.join(held.unreadable)}")


def _show_checks(checks: list[SessionCheck], url: str, *, in_full: bool) -> None:
    from rich.markup import escape

    if in_full:
        pieces = [
            (
                piece.name,
                piece.rows or None,
                size(piece.bytes),
                piece.checksum[:16],
                "damaged" if piece.problem else "whole",
            )
            for one in checks
            for piece in one.pieces
        ]
        shown = ("piece", "rows", "size", "checksum", "state")
        show(table(f"Pieces of {checks[0].session}", shown, pieces, right=("rows", "size")))
    rows = [
        (one.session, one.state, len(one.pieces), one.updates, one.content[:16], len(one.problems)) for one in checks
    ]
    columns = ("session", "state", "pieces", "updates", "content", "problems")
    show(table(f"Checked in {url}", columns, rows, right=("pieces", "updates", "problems")))
    for one in checks:
        say(*(escape(f"{one.session}: {line}") for line in (*one.problems, *one.notes)))


def _store(ctx: typer.Context, config: Path | None) -> SessionStore:
    from kalshi_ray.data.store import open_store

    return open_store(settings_of(ctx, config).places.store)
