"""A session from its raw lines alone: the same recorder, fed with the same inputs once more.

What a line made of its inputs depends on nothing else. Rows are put in order as the spool did it: by receive time,
then by line, then as they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.collect import inputs
from kalshi_ray.collect.block import Block
from kalshi_ray.collect.endings import rows_of_given_up, rows_of_interrupted
from kalshi_ray.collect.facts import Facts, market_rows
from kalshi_ray.collect.inputs import Input, read_inputs
from kalshi_ray.collect.life import LIFE, LifeLine
from kalshi_ray.collect.line import Line
from kalshi_ray.collect.recorder import BookLine
from kalshi_ray.collect.register import Register, Signal
from kalshi_ray.core.units import SECOND
from kalshi_ray.data.recording import ROW, rows_of, table_of
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore
from kalshi_ray.data.writer import SessionWriter
from kalshi_ray.errors import NothingToDo, SessionDamaged
from kalshi_ray.telemetry import Progress
from kalshi_ray.wire.messages import FeeChange

Rows = NDArray[Any]  # [N] ROW

SLACK_NS = 10 * SECOND
_NEVER = 2**62  # ns: blocks are made when they are asked for


class Rebuilding:
    """Raw lines of all lines in the order of the spool, one by one; rows come out where they are complete."""

    def __init__(self) -> None:
        self.register = Register()
        self._open: dict[int, Line] = {}
        self._times: dict[int, int] = {}  # of the last input of each open line
        self._rows: dict[int, list[Rows]] = {}  # of each line, not given out yet
        self._given_ns = 0  # rows before it were given out

    def add(self, one: Input) -> None:
        """The next raw line. SessionDamaged where it cannot follow what came before."""
        number, now_ns, content = one.line, one.recv_ns, one.content
        if isinstance(content, inputs.Opened):
            self._begin(number, content)
        elif isinstance(content, inputs.GivenUp):
            self._close(number)
            self._keep(number, rows_of_given_up(number, now_ns))
            return
        elif isinstance(content, inputs.Interrupted):
            for open_line in list(self._open):
                self._close(open_line)
            self._keep(number, rows_of_interrupted(now_ns))
            return
        line = self._open.get(number)
        if line is None or now_ns < self._times.get(number, 0):
            why = "was not opened" if line is None else "goes back in time"
            raise SessionDamaged(f"line {number} {why} at {now_ns} ns", remedy="Restore the raw lines from a copy")
        self._times[number] = now_ns
        if isinstance(content, bytes):
            self._keep_blocks(line.receive(content, now_ns))
        elif isinstance(content, inputs.Lost):
            self._keep_blocks(line.lost(now_ns))
        elif isinstance(content, inputs.Finished):
            self._keep_blocks(line.finish(now_ns))
            self._close(number)
        elif isinstance(content, inputs.Resumed):
            self._resume(line, content)
        else:
            _repeat(line, content, now_ns)

    def settle(self) -> Rows:
        """The rows that nothing can come before any more; to be called where a segment of the spool ended.

        A line that has not said anything yet may be behind the others, by less than `SLACK_NS`.
        """
        self._flush()
        return self._give(min(self._times.values(), default=_NEVER) - SLACK_NS)

    def finish(self) -> Rows:
        """The rest."""
        self._flush()
        return self._give(_NEVER)

    def _flush(self) -> None:
        for number, line in self._open.items():
            self._keep_blocks(line.flush(self._times[number]))

    def _begin(self, number: int, opened: inputs.Opened) -> None:
        if number in self._open:
            raise SessionDamaged(f"line {number} opens twice", remedy="Restore the raw lines from a copy")
        if set(opened.feed.channels) <= set(LIFE):
            self._open[number] = LifeLine(number, opened.feed, self.register, raw=False, block_ns=_NEVER)
        else:
            self._open[number] = BookLine(number, opened.feed, raw=False, block_ns=_NEVER)

    def _resume(self, line: Line, known: inputs.Resumed) -> None:
        self.register = Register(known.markets, known.grids, known.signals)
        if isinstance(line, LifeLine):
            line.register = self.register

    def _close(self, number: int) -> None:
        line = self._open.pop(number, None)
        if line is not None:
            self._keep_blocks(line.flush(self._times.pop(number)))

    def _keep_blocks(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self._keep(block.line, block.rows)

    def _keep(self, number: int, rows: Rows) -> None:
        if len(rows):
            self._rows.setdefault(number, []).append(rows)

    def _give(self, until_ns: int) -> Rows:
        """Rows before a time, in order."""
        ready: list[Rows] = []
        for number in sorted(self._rows):
            rows = np.concatenate(self._rows.pop(number))
            if rows["recv_ns"][0] < self._given_ns:
                raise SessionDamaged(f"rows of line {number} come too late", remedy="Restore the raw lines from a copy")
            cut = int(np.searchsorted(rows["recv_ns"], until_ns))
            ready.append(rows[:cut])
            self._keep(number, rows[cut:])
        whole = np.concatenate([np.empty(0, ROW), *ready])
        self._given_ns = max(self._given_ns, int(whole["recv_ns"].max(initial=0)))
        in_order: Rows = whole[np.argsort(whole["recv_ns"], kind="stable")]
        return in_order


def _repeat(line: Line, note: inputs.Note, now_ns: int) -> None:
    """Do once more what a note says was done."""
    match note, line:
        case inputs.Opened() | inputs.Quiet() | inputs.Queued(), _:
            pass
        case inputs.Connected(), _:
            line.connect(now_ns)
        case inputs.Heard(), _:
            line.heard(now_ns)
        case inputs.Tended(), _:
            line.due(now_ns)
        case inputs.Joined(), BookLine():
            line.join(note.markets, now_ns)
        case inputs.Left(), BookLine():
            line.leave(note.tickers, now_ns)
        case inputs.Entered(), LifeLine():
            line.enter(note.market, now_ns)
        case inputs.Listed(), LifeLine():
            line.listed(note.market, now_ns, note.asked_ns)
        case inputs.FeesListed(), LifeLine():
            change = FeeChange(event=note.event, fee_type=note.fee_type, multiplier_ppm=note.multiplier_ppm)
            line.fees(change, now_ns)
        case inputs.Signalled(), LifeLine():
            line.signal(Signal(name=note.name, value=note.value, ticker=note.ticker), now_ns)
        case _:
            named = type(note).__name__
            raise SessionDamaged(f"line {line.number}: a note {named!r} does not belong to a {type(line).__name__}")


def rebuild_session(session: Session, store: SessionStore, name: str, *, progress: Progress | None = None) -> Manifest:
    """Make a session of that name from the raw lines of another, which it keeps; return its manifest.

    It holds about two segments in memory. NothingToDo if the session kept no raw lines. On any error nothing is left.
    """
    computed = {"files": {}, "content": "", "grids": [], "signals": [], "markets": 0, "updates": 0, "kinds": {}}
    manifest = msgspec.structs.replace(session.manifest, id=name, first_ns=0, last_ns=0, **computed)
    with store.writer(name, manifest=manifest) as writer:
        try:
            for facts, rows in _segments(session, progress, writer):
                _write(writer, facts, rows)
            return writer.commit()
        except BaseException:
            writer.discard()
            raise


def _write(writer: SessionWriter, facts: Facts, rows: Rows) -> None:
    if len(facts.markets) > writer.market_rows or not writer.market_rows:
        writer.add_markets(facts.table(writer.market_rows))
    writer.describe(grids=facts.grids, signals=facts.signals)
    if len(rows):
        writer.write_part(writer.parts, table_of(rows))


def _segments(
    session: Session, progress: Progress | None = None, keep: SessionWriter | None = None
) -> Iterator[tuple[Facts, Rows]]:
    """All facts so far and the next rows, raw part by raw part; `keep` gets the raw parts too."""
    parts = session.raw_parts
    if not parts:
        raise NothingToDo(
            f"session {session.id!r} kept no raw lines",
            remedy="Only a session that was collected with collect.raw has them",
        )
    rebuilding = Rebuilding()
    for done, name in enumerate(parts):
        if progress:
            progress("raw lines", done, len(parts))
        content = session.raw_part(name)
        for one in read_inputs(content, f"{session.id} {name}"):
            rebuilding.add(one)
        if keep is not None:
            keep.put_raw(done, content, level=session.manifest.files[name].level)
        yield rebuilding.register.facts, rebuilding.settle()
    yield rebuilding.register.facts, rebuilding.finish()


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first place where a session is not what its raw lines make."""

    what: str  # a column of the updates, or markets, grids, signals, number of rows
    recorded: str
    rebuilt: str
    row: int = -1  # of the updates

    def __str__(self) -> str:
        where = f"row {self.row:,}, {self.what}" if self.row >= 0 else self.what
        return f"{where}: recorded {self.recorded}, the raw lines make {self.rebuilt}"


def compare_with_raw(session: Session, progress: Progress | None = None) -> Difference | None:
    """Compare a session with what its raw lines make; None if it is the same. It holds about two segments in memory."""
    recorded = (rows_of(session.part(name)) for name in session.parts)
    mine, at, facts = np.empty(0, ROW), 0, Facts()
    for known, theirs in _segments(session, progress):
        facts = known
        while len(theirs):
            if not len(mine):
                following = next(recorded, None)
                if following is None:
                    return Difference(what="number of rows", recorded=f"{at:,}", rebuilt="more")
                mine = following
                continue
            count = min(len(mine), len(theirs))
            found = _first_difference(mine[:count], theirs[:count], at)
            if found:
                return found
            mine, theirs, at = mine[count:], theirs[count:], at + count
    if len(mine) or any(len(rows) for rows in recorded):
        return Difference(what="number of rows", recorded="more", rebuilt=f"{at:,}")
    return _difference_of_facts(session, facts)


def _first_difference(mine: Rows, theirs: Rows, at: int) -> Difference | None:
    if mine.tobytes() == theirs.tobytes():
        return None
    row = int(np.flatnonzero(mine != theirs)[0])
    names = ROW.names or ()
    column = next(name for name in names if mine[name][row] != theirs[name][row])
    return Difference(what=column, row=at + row, recorded=str(mine[row]), rebuilt=str(theirs[row]))


def _difference_of_facts(session: Session, facts: Facts) -> Difference | None:
    manifest = session.manifest
    grids = [[list(band) for band in grid] for grid in facts.grids]
    pairs: list[tuple[str, Any, Any]] = [
        ("markets", market_rows(session.markets()), facts.markets),
        ("grids", manifest.grids, grids),
        ("signals", manifest.signals, list(facts.signals)),
    ]
    for what, recorded, rebuilt in pairs:
        if recorded != rebuilt:
            first = next((one for one in zip(recorded, rebuilt) if one[0] != one[1]), (len(recorded), len(rebuilt)))
            return Difference(what=what, recorded=str(first[0]), rebuilt=str(first[1]))
    return None
