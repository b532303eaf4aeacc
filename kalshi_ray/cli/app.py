"""The command tree, and what every command shares: errors in one line, exit codes, tracebacks kept aside."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeGuard, cast, get_args

import typer

from kalshi_ray import __version__, telemetry
from kalshi_ray.cli import (
    ablate,
    collect,
    config,
    database,
    doctor,
    env,
    evaluate,
    exchange,
    models,
    quickstart,
    runs,
    sessions,
    simulate,
    train,
    walk_forward,
)
from kalshi_ray.cli.options import CommandGroup
from kalshi_ray.cli.output import note
from kalshi_ray.cli.process import INTERRUPTED
from kalshi_ray.errors import KalshiRayError, UsageError

# What typer raises for a wrong use, wherever its version keeps that.
WrongUse = cast("type[Exception]", typer.BadParameter.__bases__[0])

app = typer.Typer(
    name="kalshi-ray",
    cls=CommandGroup,
    help="Train, judge and trade a market-agnostic policy on Kalshi order books, with Ray.",
    epilog="Begin with `kalshi-ray quickstart`. Exit codes: 0 ok, 1 failed, 2 wrong use, 3 a gate said no, "
    "130 stopped by Ctrl-C.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
quickstart.add_to(app)
app.add_typer(sessions.app, name="sessions", cls=CommandGroup)
app.add_typer(env.app, name="env", cls=CommandGroup)
collect.add_to(app)
train.add_to(app)
evaluate.add_to(app)
walk_forward.add_to(app)
ablate.add_to(app)
app.add_typer(runs.app, name="runs", cls=CommandGroup)
app.add_typer(models.app, name="models", cls=CommandGroup)
app.add_typer(exchange.app, name="exchange", cls=CommandGroup)
app.add_typer(config.app, name="config", cls=CommandGroup)
app.add_typer(database.app, name="database", cls=CommandGroup)
simulate.add_to(app)
doctor.add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"kalshi-ray {__version__}\n")
        raise typer.Exit


@app.callback()
def everywhere(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
    log_level: Annotated[str, typer.Option("--log-level", help="DEBUG, INFO, WARNING or ERROR.")] = "WARNING",
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options which may stand anywhere on the line."""
    level = log_level.upper()
    if level not in get_args(telemetry.Level):
        raise UsageError(f"no log level {log_level!r}", remedy=f"Known: {', '.join(get_args(telemetry.Level))}")
    telemetry.configure(level=level, as_json=log_json)  # type: ignore[arg-type] # checked above


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; a user's mistake is one line on standard error."""
    try:
        code = _called(hoisted(arguments))
        sys.stdout.flush()  # here, where somebody can say what became of it
    except KalshiRayError as problem:
        note(f"error: {problem}")
        return problem.exit_code
    except BrokenPipeError:  # the reader has seen enough
        return 0
    except Exception as problem:  # the last line of defence: nothing above it can act on a fault of ours
        if _is_unwritten(problem):
            note(f"error: standard output cannot be written: {problem.strerror}. Give it a place with room")
        else:
            _report_fault(problem, debug="--debug" in arguments)
        return 1
    return code


def _called(line: list[str]) -> int:
    """Call the command of a line, for its exit code. UsageError for what typer says of a line that it cannot read."""
    try:
        code = app(args=line, prog_name="kalshi-ray", standalone_mode=False)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # which typer takes for a failure
            raise stop.__context__ from None
        raise
    except typer.Abort:  # Ctrl-C, or the end of input, where somebody is asked
        code = INTERRUPTED
    except WrongUse as problem:
        return _wrongly_used(problem)
    if code == INTERRUPTED:
        note("stopped")
    return code if isinstance(code, int) else 0


def _wrongly_used(problem: Any) -> int:
    """Say in a line what is wrong with the words of a command, and where its help is; a group alone shows its own."""
    if type(problem).__name__ == "NoArgsIsHelpError":
        problem.show()
        return UsageError.exit_code
    said = problem.format_message().replace("Value error, ", "").rstrip(".")
    path = problem.ctx.command_path if problem.ctx is not None else "kalshi-ray"
    end = "" if said.endswith("?") else "."
    raise UsageError(f"{said[:1].lower()}{said[1:]}{end} See {path} --help")


def _is_unwritten(problem: Exception) -> TypeGuard[OSError]:
    """Whether what could not be written is standard output: then no further line can be either."""
    if isinstance(problem, OSError) and problem.filename is None:
        try:
            sys.stdout.write("\n")
            sys.stdout.flush()
        except OSError:
            return True
    return False


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Put the options that may stand anywhere in front of the command, where the root takes them.

    UsageError for one that has no value.
    """
    front: list[str] = []
    rest: list[str] = []
    queue = iter(arguments)
    for argument in queue:
        if argument == "--":
            rest += [argument, *queue]
        elif argument in ("--debug", "--log-json") or argument.startswith("--log-level="):
            front.append(argument)
        elif argument == "--log-level":
            value = next(queue, None)
            if value is None:
                raise UsageError(f"{argument} needs a value", remedy=f"Known: {', '.join(get_args(telemetry.Level))}")
            front += [argument, value]
        else:
            rest.append(argument)
    return front + rest


def _report_fault(problem: Exception, *, debug: bool) -> None:
    text = "".join(traceback.format_exception(problem))
    if debug:
        sys.stderr.write(text)
        return
    with tempfile.NamedTemporaryFile("w", prefix="kalshi-ray-", suffix=".log", delete=False) as stream:
        stream.write(text)
    what = f"{type(problem).__name__}: {problem}".splitlines()[0]
    note(f"error: unexpected {what}. The traceback is in {Path(stream.name)}; --debug shows it here")
