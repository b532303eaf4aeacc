"""Options which many commands share, and commands that take every setting as an option.

@app.command(cls=settings_command("env", aliases={"--cash-start": "env.bankroll_cents"}))
def trace(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    settings = settings_of(ctx, config).value
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from kalshi_ray import config as config_file
from kalshi_ray import telemetry
from kalshi_ray.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from kalshi_ray.cli.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Settings in TOML; see `kalshi-ray config init`.")]
SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="Name of a session; see `kalshi-ray sessions list`.")]

_GIVEN = "kalshi_ray.options"  # keys in the context's meta
_SECTIONS = "kalshi_ray.sections"
_UNIT_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_SPAN = re.compile("".join(rf"(?:(?P<{unit}>[0-9]+(?:\.[0-9]+)?){unit})?" for unit in _UNIT_S))

PLACES = {
    "--store": "places.store",
    "--runs": "places.runs",
    "--registry": "places.registry",
    "--reports": "places.reports",
}


def seconds(text: str) -> float:
    """A span of time as people type it, in seconds: 90, 40s, 15m, 2h, 1d, 1h30m. UsageError where it is none."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is not None and found.group():
        return sum(float(count) * _UNIT_S[unit] for unit, count in found.groupdict(default="0").items())
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?(e[0-9]{1,2})?", text.strip()):
        return float(text)
    raise UsageError(
        f"{text!r} is no duration", remedy="Give seconds, or days, hours, minutes: 90, 40s, 15m, 2h, 1d, 1h30m"
    )


Duration = Annotated[
    float | None,
    typer.Option(
        "--duration", parser=seconds, metavar="TIME", help="How long: 90, 15m, 8h, 1d; else until Ctrl-C or SIGTERM."
    ),
]


class CommandGroup(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, flags without a type: they take no value."""
        return _without_type(super().get_params(ctx))


class PlainCommand(TyperCommand):
    """A command without settings."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Paragraphs are broken by the terminal, not where the source is.
        self.help = "\n\n".join(" ".join(part.split()) for part in (self.help or "").split("\n\n"))

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, flags without a type: they take no value."""
        return _without_type(super().get_params(ctx))


class SettingsCommand(PlainCommand):
    """A command which takes `--section.field value` for its sections, and other names for some of them."""

    sections: ClassVar[tuple[str, ...]] = ()
    aliases: ClassVar[Mapping[str, str]] = {}
    flags: ClassVar[tuple[str, ...]] = ()  # aliases without a value: they mean true
    foreign: ClassVar[tuple[str, ...]] = ()  # prefixes which are no sections: the command reads them itself

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the settings out of the arguments; the rest is parsed as usual."""
        ctx.meta[_SECTIONS] = self.sections
        ctx.meta[_GIVEN], rest = self._split(args)
        self._check_names(ctx, rest)
        return super().parse_args(ctx, rest)

    def _check_names(self, ctx: Any, rest: list[str]) -> None:
        """UsageError with the nearest names for an option that there is not, settings among them."""
        own = {name for parameter in self.get_params(ctx) for name in (*parameter.opts, *parameter.secondary_opts)}
        given = rest[: rest.index("--")] if "--" in rest else rest
        for name in (argument.partition("=")[0] for argument in given if argument.startswith("--")):
            if name not in own:
                near = _nearest_options(name, {*own, *self.aliases}, self.sections)
                words = f"Did you mean {' or '.join(near)}? " if near else ""
                raise UsageError(f"there is no option {name}", remedy=f"{words}{ctx.command_path} --help lists all")

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The usual help, then the settings that this command uses."""
        super().format_help(ctx, formatter)
        if self.sections:
            _print_settings(self.sections, self.aliases)

    def _split(self, args: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
        given: list[tuple[str, str]] = []
        rest: list[str] = []
        queue = iter(args)
        for argument in queue:
            name, equals, value = argument.partition("=")
            key = self.aliases.get(name) or self._key(name)
            if argument == "--":
                rest += [argument, *queue]
            elif key is None:
                rest.append(argument)
            elif name in self.flags and not equals:
                given.append((key, "true"))
            else:
                given.append((key, value if equals else _value(name, queue)))
        return given, rest

    def _key(self, name: str) -> str | None:
        """`--train.lr` as `train.lr`; None for what is no setting; an error for a setting that is not used here."""
        if not name.startswith("--") or "." not in name:
            return None
        section = name[2:].partition(".")[0]
        known = (*self.foreign, *self.sections)
        if section not in known:
            near = difflib.get_close_matches(section, known)
            used = ", ".join(f"--{s}.…" for s in (near or known))
            raise ConfigError(f"{name} is not used by this command", remedy=f"It takes {used}")
        return name[2:].replace("-", "_")


def settings_command(
    *sections: str,
    aliases: Mapping[str, str] | None = None,
    flags: tuple[str, ...] = (),
    foreign: tuple[str, ...] = (),
) -> type[SettingsCommand]:
    """A command class for these sections and the places; `aliases` maps other option names to dotted keys."""
    used = tuple(dict.fromkeys(("places", *sections)))
    own = {"sections": used, "aliases": {**PLACES, **(aliases or {})}, "flags": flags, "foreign": foreign}
    return type("SettingsCommand", (SettingsCommand,), own)


def foreign_options(ctx: typer.Context, prefix: str) -> list[tuple[str, str]]:
    """What was given as `--prefix.field value`, without the prefix."""
    return [(key.removeprefix(f"{prefix}."), text) for key, text in ctx.meta[_GIVEN] if key.startswith(f"{prefix}.")]


def load_settings(
    ctx: typer.Context,
    path: Path | None = None,
    *,
    first: Sequence[tuple[str, str]] = (),
    others: Sequence[str] = (),
) -> config_file.Loaded[Any]:
    """The settings of this command's sections and their sources: defaults, file, environment, then options.

    Options given on the line win over those in `first`; `others` are sections of the file that are no settings.
    """
    from kalshi_ray.cli.settings import SECTIONS, settings_type  # on call: help must not import every section

    used = ctx.meta[_SECTIONS]
    foreign = [name for name in SECTIONS if name not in used]
    given = [(key, text) for key, text in ctx.meta[_GIVEN] if key.partition(".")[0] in used]
    return config_file.load(settings_type(used), path=path, options=[*first, *given], others=(*foreign, *others))


def only_errors(ctx: typer.Context) -> None:
    """Log errors alone from here on, unless `--log-level` was given."""
    root = ctx.find_root()
    if not is_given(root, "log_level"):
        telemetry.configure(level="ERROR", as_json=bool(root.params.get("log_json")))


def is_given(ctx: Any, name: str) -> bool:
    """Whether a parameter of a command stands on its line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def settings_of(ctx: typer.Context, path: Path | None = None) -> Settings:
    """The settings in force for this command."""
    found: Settings = load_settings(ctx, path).value
    return found


def _without_type(parameters: list[Any]) -> list[Any]:
    for one in parameters:
        if getattr(one, "is_flag", False):
            one.metavar = ""
    return parameters


def _nearest_options(name: str, known: set[str], sections: tuple[str, ...]) -> list[str]:
    """What may have been meant: another spelling, or a setting without its section."""
    from kalshi_ray.cli.settings import settings_type

    leaf = name.removeprefix("--").replace("-", "_")
    settings = [one.key for one in config_file.leaves(settings_type(sections))] if sections else []
    exact = [f"--{key}" for key in settings if key.rpartition(".")[2] == leaf]
    return exact or difflib.get_close_matches(name, sorted(known), n=2)


def _value(name: str, queue: Iterator[str]) -> str:
    try:
        value = next(queue)
    except StopIteration:
        raise ConfigError(f"{name} needs a value", remedy=f"For example {name} VALUE") from None
    if value.startswith("--"):
        raise ConfigError(f"{name} needs a value, but {value} follows", remedy=f"Write {name}=VALUE if it is meant so")
    return value


def _print_settings(sections: tuple[str, ...], aliases: Mapping[str, str]) -> None:
    from kalshi_ray.cli.output import show, table
    from kalshi_ray.cli.settings import settings_type

    also: dict[str, list[str]] = {}
    for name, key in aliases.items():
        also.setdefault(key, []).append(name)
    rows = [
        (", ".join([f"--{leaf.key}", *also.get(leaf.key, [])]), leaf.kind_name, default, leaf.meaning)
        for leaf in config_file.leaves(settings_type(sections))
        for default in [leaf.default_text]
    ]
    title = "Settings: also keys in --config, and variables KALSHI_RAY_SECTION__FIELD"
    show(table(title, ("option", "type", "default", "meaning"), rows))
