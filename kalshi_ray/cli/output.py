"""What commands print: tables for people on standard output, or JSON alone; progress and messages on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from kalshi_ray.cli.tables import Table
from kalshi_ray.errors import UsageError
from kalshi_ray.telemetry import Progress

if TYPE_CHECKING:
    from kalshi_ray.data.schema import Manifest


def emit_json(value: Any) -> None:
    """Write `value` to standard output as one JSON document and nothing else."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2)
    sys.stdout.write(text.decode() + "\n")


def say(*lines: str) -> None:
    """Print for people, with rich's markup; plain where standard output is no terminal.

    Lines are broken between words, but for those with a command in them: they can be copied whole.
    """
    console = _console()
    for line in lines:
        console.print(line, soft_wrap="kalshi-ray " in line or not sys.stdout.isatty())


def show(renderable: Any) -> None:
    """Print a table or another renderable of rich; into a pipe or a file without blanks at the ends of lines."""
    console = _console()
    if sys.stdout.isatty():
        console.print(renderable)
        return
    with console.capture() as captured:
        console.print(renderable)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def print_manifest(manifest: Manifest, *, as_json: bool) -> None:
    """What was written, and what it cannot say."""
    if as_json:
        emit_json(manifest)
        return
    span = f"{second(manifest.first_ns)} to {second(manifest.last_ns)} UTC"
    held = f"{counted(manifest.updates, 'update')} of {counted(manifest.markets, 'market')}"
    say(f"wrote {manifest.id}: {held}, {span}")
    counts = manifest.origin.get("counts", {})
    if counts:
        say(f"  counted: {'; '.join(f'{name} {count:,}' for name, count in counts.items())}")
    for unknown in manifest.unknowns:
        say(f"  not known: {unknown}")
    say(f"Next: kalshi-ray sessions analyze {manifest.id}")


def written(path: Path, content: str) -> None:
    """Write a report, making its folder. UsageError where that cannot be."""
    make_folder_of(path)
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as problem:
        raise UsageError(f"cannot write {path}: {problem.strerror}", remedy="Choose another place") from problem


def make_folder_of(path: Path) -> None:
    """The folder that a file is to be written into. UsageError where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(f"cannot make the folder of {path}: {problem.strerror}", remedy="Choose another place") from (
            problem
        )


def counted(count: int, noun: str) -> str:
    """A number of things: 1 market, 2 markets."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def size(count: int) -> str:
    """Bytes as people read them: 512 B, 12.3 kB, 4.56 MB."""
    from kalshi_ray.collect.status import size_text

    return size_text(count)


def minute(ns: int) -> str:
    """A time to the minute in UTC; nothing for 0."""
    return second(ns)[: -len(":00")]


def second(ns: int) -> str:
    """A time to the second in UTC; nothing for 0."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S") if ns else ""


def note(line: str) -> None:
    """One line to standard error: what is going on, never the result."""
    with suppress(OSError):  # nobody reads it, or there is no room for it: that changes no result
        sys.stderr.write(line + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A table that fits itself to the width; the columns named in `right` are numbers."""
    return Table(title, columns, [[text(cell) for cell in row] for row in rows], right=right)


def text(cell: object) -> str:
    """A cell as people read it: thousands marked, floats in four digits, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return str(cell)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A report of progress: bars with rate and time left on a terminal, silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda label, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total or None, rate="")
            speed = bars.tasks[tasks[label]].speed
            bars.update(tasks[label], completed=done, total=total or None, rate=f"{speed:,.0f}/s" if speed else "")

        yield report


def _console() -> Any:
    from rich.console import Console

    class Pipe(Console):
        """One that leaves a closed pipe to the command line, which ends with 0: the reader has seen enough."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    # Pipes and files get whole lines: a width of eighty would cut identifiers in two.
    return Pipe(file=sys.stdout, width=None if sys.stdout.isatty() else 240, highlight=False)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)
