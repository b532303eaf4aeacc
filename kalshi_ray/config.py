"""Settings from defaults, one TOML file, the environment and options, later ones winning; each value knows its source.

A settings type is a tree of `msgspec.Struct`s with defaults, which live beside the code they set. Its leaves have
dotted keys: field `decision_ms` of section `env` is `--env.decision_ms` as an option, a key of `[env]` in TOML, and
`KALSHI_RAY_ENV__DECISION_MS` in the environment. This module alone reads the environment.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import io
import os
import re
import textwrap
import tokenize
import tomllib
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, Union

import msgspec

from kalshi_ray.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)

PREFIX = "KALSHI_RAY_"
DEFAULT = "default"
_PASSWORD = re.compile(r"(?P<before>\s*[A-Za-z][A-Za-z0-9+.-]*://[^/?#@:]*):.*@", re.DOTALL)  # up to the last @
_PASSWORD_PARAMETER = re.compile(r"(?P<before>[?&][^=&]*password[^=&]*=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True)
class Leaf:
    """One field that can be set: its dotted key, its type, its default and what it means."""

    key: str
    kind: Any
    default: Any
    meaning: str
    foreign: str = ""  # a variable of other programs too, which counts where nothing else sets it

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return PREFIX + self.key.upper().replace(".", "__")

    @property
    def default_text(self) -> str:
        """Its default as people read it."""
        return "none" if self.default is None else toml_text(self.default)

    @property
    def kind_name(self) -> str:
        """Its type in a few characters."""
        return _kind_name(self.kind)


@dataclass(frozen=True)
class Setting:
    """A value in force and where it came from: `default`, a file, a variable or an option."""

    leaf: Leaf
    value: Any
    source: str

    @property
    def shown(self) -> Any:
        """The value as it may be shown: a URL without its password."""
        return without_password(self.value) if isinstance(self.value, str) else self.value

    @property
    def text(self) -> str:
        """The same as people read it."""
        return "none" if self.value is None else toml_text(self.shown)

    @property
    def is_default(self) -> bool:
        """Whether nothing set it."""
        return self.source == DEFAULT


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """A settings record with the source of each of its values."""

    value: T
    settings: tuple[Setting, ...]

    def sources(self) -> dict[str, str]:
        """What was not left at its default: dotted key to source."""
        return {s.leaf.key: s.source for s in self.settings if not s.is_default}


def load(
    kind: type[T],
    *,
    path: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
    options: Iterable[tuple[str, str]] = (),
    others: Collection[str] = (),
) -> Loaded[T]:
    """Load a settings record.

    `options` are (dotted key, text) pairs; `environ` is the process's own unless given; `others` are sections that
    exist beside those of `kind` and are not looked into.
    """
    known = {leaf.key: leaf for leaf in leaves(kind)}
    found: dict[str, tuple[Any, str]] = {}
    for leaf in known.values():
        if leaf.foreign and (text := variable(leaf.foreign, environ)):
            found[leaf.key] = (_convert(leaf, text, leaf.foreign, from_text=True), leaf.foreign)
    found.update(_from_file(path, known, others))
    found.update(_from_environment(environ, known, others))
    found.update(_from_options(options, known))
    settings = tuple(Setting(leaf, *found.get(key, (leaf.default, DEFAULT))) for key, leaf in known.items())
    missing = [s.leaf.key for s in settings if s.value is msgspec.NODEFAULT]
    if missing:
        raise ConfigError(f"no value for {', '.join(missing)}", remedy="Give it in the file, a variable or an option")
    return Loaded(_build(kind, "", {key: value for key, (value, _) in found.items()}), settings)


def variable(name: str, environ: Mapping[str, str] | None = None) -> str:
    """A variable that is no setting, such as a key that must not stand in a file; empty where it is not set."""
    return (os.environ if environ is None else environ).get(name, "")


def without_password(url: str) -> str:
    """A URL as it may be shown; anything else as it is."""
    hidden = _PASSWORD.sub(r"\g<before>:***@", url, count=1)
    return _PASSWORD_PARAMETER.sub(r"\g<before>***", hidden) if "://" in hidden else hidden


def replaced(settings: T, **given: Any) -> T:
    """The settings with the given fields, where they are not empty: what an option of its own says beside the rest."""
    return msgspec.structs.replace(settings, **{name: value for name, value in given.items() if value})


def options_of(arguments: Iterable[str]) -> list[tuple[str, str]]:
    """`--env.entry_ms 50` and `--env.entry_ms=50` as (dotted key, text) pairs. ConfigError where one has no value."""
    found: list[tuple[str, str]] = []
    queue = iter(arguments)
    for argument in queue:
        name, equals, text = argument.partition("=")
        if not name.startswith("--") or "." not in name:
            raise ConfigError(f"{argument!r} is no option", remedy="Settings are given as --section.field VALUE")
        value = text if equals else next(queue, None)
        if value is None or (not equals and value.startswith("--")):
            raise ConfigError(f"{name} needs a value", remedy=f"For example {name} VALUE, or {name}=VALUE")
        found.append((name.removeprefix("--"), value))
    return found


def leaves(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[Leaf]:
    """All fields of a settings type, with dotted keys; its FOREIGN names variables of other programs by field."""
    meanings, foreign = field_comments(kind), getattr(kind, "FOREIGN", {})
    for item in msgspec.structs.fields(kind):
        key = prefix + item.name
        if _is_struct(item.type):
            yield from leaves(item.type, key + ".")
            continue
        default = item.default if item.default_factory is msgspec.NODEFAULT else item.default_factory()
        meaning = _described(item.type) or meanings.get(item.name, "")
        yield Leaf(key, item.type, default, meaning, foreign.get(item.name, ""))


def field_comments(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The comment behind or above each field in the source of a settings type: what the field means."""
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if owner in (msgspec.Struct, object) or not issubclass(owner, msgspec.Struct):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(owner))
        except (OSError, TypeError):  # made at run time: there is no source to read
            continue
        found.update(_comments(source))
    return found


def template(kind: type[msgspec.Struct]) -> str:
    """A TOML file with every setting at its default, commented out, and what it means."""
    lines = ["# Settings of kalshi-ray: uncomment what you change. `kalshi-ray config show` prints what is in force."]
    section: str | None = None
    for leaf in leaves(kind):
        table, _, name = leaf.key.rpartition(".")
        if table != section:
            section = table
            lines += ["", f"[{table}]"] if table else []
        meaning = f"  # {leaf.meaning}" if leaf.meaning else ""
        lines.append(f"# {name} = {toml_text(leaf.default)}{meaning}")
    return "\n".join(lines) + "\n"


def toml_text(value: Any) -> str:
    """One value as TOML writes it; None, which TOML lacks, as a comment."""
    if value is None:
        return '""  # unset'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_text(str(k))} = {toml_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(toml_text(v) for v in value) + "]"
    return str(msgspec.to_builtins(value))


def suggest(word: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known words, to end an error with."""
    words = list(known)
    near = difflib.get_close_matches(word, words, n=3, cutoff=0.6)
    last = word.rpartition(".")[2]
    near += [w for w in words if w.rpartition(".")[2] == last and w not in near]
    if near:
        return f"Did you mean {' or '.join(near[:3])}?"
    return f"Known: {', '.join(words[:12])}{' …' if len(words) > 12 else ''}"


def _from_file(
    path: Path | str | None, known: Mapping[str, Leaf], others: Collection[str]
) -> dict[str, tuple[Any, str]]:
    if path is None:
        return {}
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise ConfigError(f"cannot read the settings file {path}: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} is not TOML: {problem}") from problem
    tables = {name: value for name, value in tables.items() if name not in others}
    return {
        key: (_convert(known[key], value, str(path), from_text=False), str(path))
        for key, value in _flatten(tables, "", known, str(path))
    }


def _flatten(
    table: Mapping[str, Any], prefix: str, known: Mapping[str, Leaf], source: str
) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = prefix + name
        if key in known:
            yield key, value
        elif isinstance(value, dict) and any(k.startswith(key + ".") for k in known):
            yield from _flatten(value, key + ".", known, source)
        elif any(k.startswith(key + ".") for k in known):
            raise ConfigError(f"{key} in {source} is a section, not a value")
        else:
            raise _unknown(key, source, known)


def _from_environment(
    environ: Mapping[str, str] | None, known: Mapping[str, Leaf], others: Collection[str]
) -> dict[str, tuple[Any, str]]:
    names = {leaf.variable: leaf for leaf in known.values()}
    sections = {key.partition(".")[0] for key in known if "." in key}
    found: dict[str, tuple[Any, str]] = {}
    for name, text in sorted((os.environ if environ is None else environ).items()):
        if not name.startswith(PREFIX) or name.removeprefix(PREFIX).partition("__")[0].lower() in others:
            continue
        if name in names:
            leaf = names[name]
            found[leaf.key] = (_convert(leaf, text, name, from_text=True), name)
        elif "__" in name or any(f"{name}_".startswith(f"{PREFIX}{section.upper()}_") for section in sections):
            raise ConfigError(f"unknown variable {name}", remedy=suggest(name, names))
    return found


def _from_options(options: Iterable[tuple[str, str]], known: Mapping[str, Leaf]) -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    for key, text in options:
        if key not in known:
            raise _unknown(key, "the options", known)
        found[key] = (_convert(known[key], text, f"--{key}", from_text=True), f"--{key}")
    return found


def _unknown(key: str, source: str, known: Mapping[str, Leaf]) -> ConfigError:
    sections = {k.rpartition(".")[0] for k in known}
    pool = known if "." in key or "" in sections else sections
    return ConfigError(f"unknown setting {key} in {source}", remedy=suggest(key, pool))


def _convert(leaf: Leaf, raw: Any, source: str, *, from_text: bool) -> Any:
    value = _parsed(raw, leaf.kind) if from_text else raw
    try:
        return msgspec.convert(value, leaf.kind, strict=not from_text)
    except msgspec.ValidationError as problem:
        reason = str(problem).removesuffix(".").lower().replace("`", "")
        message = f"{leaf.key} = {raw!r} from {source}: {reason}"
        raise ConfigError(message, remedy=f"{leaf.key} is {leaf.kind_name}") from problem


def _parsed(text: str, kind: Any) -> Any:
    """Text of a variable or option as the plain value that its type is converted from."""
    inner, optional = _without_none(kind)
    if optional and text.strip().lower() in ("", "none"):
        return None
    origin = typing.get_origin(inner) or inner
    if origin not in (list, tuple, set, frozenset, dict):
        return text
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return [part.strip() for part in text.split(",") if part.strip()]


def _build(kind: type[T], prefix: str, values: Mapping[str, Any]) -> T:
    given: dict[str, Any] = {}
    for item in msgspec.structs.fields(kind):
        key = prefix + item.name
        if _is_struct(item.type):
            given[item.name] = _build(item.type, key + ".", values)
        elif key in values:
            given[item.name] = values[key]
    try:
        return kind(**given)
    except (ValueError, TypeError) as problem:
        raise ConfigError(f"section {prefix.rstrip('.') or kind.__name__}: {problem}") from problem


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _without_none(kind: Any) -> tuple[Any, bool]:
    """A type without its `None`, and whether it had one."""
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in (Union, types.UnionType):
        rest = [k for k in typing.get_args(kind) if k is not type(None)]
        if len(rest) < len(typing.get_args(kind)):
            return (rest[0] if len(rest) == 1 else kind), True
    return kind, False


def _kind_name(kind: Any) -> str:
    inner, optional = _without_none(kind)
    origin = typing.get_origin(inner)
    if origin is typing.Literal:
        text = "one of " + ", ".join(str(one) or '""' for one in typing.get_args(inner))
    elif origin in (list, tuple, set, frozenset):
        items = [_kind_name(k) for k in typing.get_args(inner) if k is not Ellipsis]
        text = f"list of {', '.join(dict.fromkeys(items))}"
    elif origin is dict:
        text = "table"
    else:
        text = getattr(inner, "__name__", str(inner))
    return f"{text} or none" if optional else text


def _described(kind: Any) -> str:
    if typing.get_origin(kind) is not Annotated:
        return ""
    for note in typing.get_args(kind)[1:]:
        if isinstance(note, msgspec.Meta) and note.description:
            return note.description
    return ""


def _comments(source: str) -> dict[str, str]:
    notes: dict[int, tuple[int, str]] = {}  # line: (column of the text, text)
    alone: set[int] = set()  # lines that hold nothing else
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("# ")
            notes[token.start[0]] = (token.end[1] - len(text), text.rstrip())
            if not token.line[: token.start[1]].strip():
                alone.add(token.start[0])
    body = ast.parse(source).body[0]
    found: dict[str, str] = {}
    if not isinstance(body, ast.ClassDef):
        return found
    for node in body.body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        line = node.end_lineno or node.lineno
        if line in notes:
            parts = [notes[line][1]]
            while line + 1 in alone and notes[line + 1][0] > node.col_offset + 4:  # continued below, further right
                line += 1
                parts.append(notes[line][1])
        else:
            above = node.lineno - 1
            parts = []
            while above in alone and notes[above][0] == node.col_offset + 2:
                parts.insert(0, notes[above][1])
                above -= 1
        found[node.target.id] = " ".join(parts)
    return found
