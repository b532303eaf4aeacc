"""What `kalshi-ray sessions copy | verify --source raw` do: sessions made anew from the raw lines of the recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from kalshi_ray.cli.output import counted, emit_json, progress_bar, say, show, size, table
from kalshi_ray.errors import SessionDamaged

if TYPE_CHECKING:
    from kalshi_ray.data.session import Session
    from kalshi_ray.data.store import SessionStore

Source = Literal["rows", "raw"]


class RawCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A session beside what its raw lines make."""

    session: str
    state: Literal["equal", "different", "no raw lines", "unfinished"]
    updates: int = 0
    raw_parts: int = 0
    raw_bytes: int = 0
    difference: str = ""  # the first one


def copy_from_raw(session: Session, target: SessionStore, name: str, *, as_json: bool) -> None:
    """Make a session from the raw lines of another, and say whether it is that one."""
    from kalshi_ray.collect.rebuild import rebuild_session

    with progress_bar() as progress:
        made = rebuild_session(session, target, name, progress=progress)
    is_equal = made.content == session.checksum
    if as_json:
        told = {"session": name, "store": target.url, "updates": made.updates, "content": made.content}
        emit_json(told | {"recorded": session.checksum, "is_equal": is_equal})
        return
    verdict = "equal to what was recorded"
    if not is_equal:
        verdict = f"NOT what was recorded ({session.manifest.updates:,} updates, content {session.checksum[:16]}…)"
    say(
        f"made {name} in {target.url} from raw lines: {made.updates:,} updates, content {made.content[:16]}…: {verdict}"
    )
    if not is_equal:
        say(f"Next: kalshi-ray sessions verify {session.id} --source raw")


def verify_from_raw(store: SessionStore, session: str | None, *, as_json: bool) -> None:
    """Compare one session, or all, with what their raw lines make. SessionDamaged names those that differ.

    Those that cannot be compared are left out among all, and an error where they were asked for by name.
    """
    names = store.ids() if session is None else [session]
    checks = [_check(store, name, is_named=session is not None) for name in names]
    if as_json:
        emit_json({"store": store.url, "is_equal": all(not one.difference for one in checks), "sessions": checks})
    else:
        rows = [
            (one.session, one.state, one.raw_parts, size(one.raw_bytes), one.updates, one.difference) for one in checks
        ]
        columns = ("session", "against its raw lines", "raw parts", "raw size", "updates", "first difference")
        show(table(f"Made anew in {store.url}", columns, rows, right=("raw parts", "raw size", "updates")))
    if bad := [one for one in checks if one.difference]:
        told = "; ".join(f"{one.session}, {one.difference}" for one in bad)
        raise SessionDamaged(
            f"{counted(len(bad), 'session')} differ from their raw lines: {told}"
            if len(bad) > 1
            else f"not what its raw lines make: {told}",
            remedy="`kalshi-ray sessions verify` says whether rows or raw lines are damaged; "
            "`sessions copy --source raw` makes the session anew",
        )


def _check(store: SessionStore, name: str, *, is_named: bool) -> RawCheck:
    from kalshi_ray.collect.rebuild import compare_with_raw

    if not is_named and store.summary(name).state in ("writing", "unfinished"):
        return RawCheck(session=name, state="unfinished")
    session = store.open(name)
    if not session.raw_parts and not is_named:
        return RawCheck(session=name, state="no raw lines", updates=session.manifest.updates)
    with progress_bar() as progress:
        found = compare_with_raw(session, progress)
    return RawCheck(
        session=name,
        state="different" if found else "equal",
        updates=session.manifest.updates,
        raw_parts=len(session.raw_parts),
        raw_bytes=sum(session.manifest.files[part].bytes for part in session.raw_parts),
        difference=str(found) if found else "",
    )
