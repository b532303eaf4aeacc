"""Rewrite the generated tables of README.md and docs/: `python docs/generate.py`. A test fails when one is out of date.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from kalshi_ray import config
from kalshi_ray.cli.app import app
from kalshi_ray.cli.defaults import LIBRARY_DEFAULTS
from kalshi_ray.cli.settings import settings_type
from kalshi_ray.data.analysis.market_lines import PRIORITY_RULE, QUALITY_FORMULA
from kalshi_ray.data.importing import BookFiles, FrameFiles, QuoteFiles, TradeFiles
from kalshi_ray.env.describe import BY_NAME
from kalshi_ray.evaluate.gates import described
from kalshi_ray.evaluate.report import NOT_MODELLED

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w.-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """The files that may hold generated tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def regenerated(text: str) -> str:
    """The page with every generated table as it is today."""
    return BLOCK.sub(lambda m: m.group(1) + tables(m.group("name")) + m.group(3), text)


def tables(name: str) -> str:
    """The generated table of that name, with its final newline."""
    kind, _, argument = name.partition(".")
    if kind in BY_NAME:
        table = BY_NAME[kind](argument)
        return markdown(table.columns, table.rows)
    own = {
        "commands": commands,
        "settings": settings,
        "library-defaults": library_defaults,
        "import-forms": import_forms,
        "quality": quality,
        "gates": gates,
        "not-modelled": not_modelled,
    }
    return own[kind](argument)


def commands(_: str) -> str:
    """Every command with the first line of its help."""
    found: list[tuple[str, str]] = []

    def walk(node: object, words: list[str]) -> None:
        children = getattr(node, "commands", None)
        if children is None:
            found.append((f"`{' '.join(words)}`", str(getattr(node, "help", "")).strip().splitlines()[0]))
        for word, child in (children or {}).items():
            walk(child, [*words, word])

    walk(typer.main.get_command(app), ["kalshi-ray"])
    return markdown(("command", "what it does"), found)


def settings(section: str) -> str:
    """The settings of one section with defaults and meanings."""
    rows = [
        (f"`{leaf.key}`", leaf.kind_name, f"`{leaf.default_text}`", leaf.meaning)
        for leaf in config.leaves(settings_type([section]))
    ]
    return markdown(("setting", "type", "default", "meaning"), rows)


def library_defaults(_: str) -> str:
    """Defaults of the libraries that differ from the documents'."""
    header = ("library", "its option", "its default", "the documents'", "setting")
    return markdown(
        header,
        [
            (d.library, f"`{d.option}`", f"`{d.default}`", f"`{d.documents}`", d.setting and f"`{d.setting}`")
            for d in LIBRARY_DEFAULTS
        ],
    )


def import_forms(_: str) -> str:
    """The options of every form of file that can be imported."""
    forms = {"frames": FrameFiles, "quotes": QuoteFiles, "trades": TradeFiles, "books": BookFiles}
    rows = [
        (f"`--{form}.{leaf.key}`", leaf.kind_name, f"`{leaf.default_text}`", leaf.meaning)
        for form, kind in forms.items()
        for leaf in config.leaves(kind)
        if leaf.key != "paths"
    ]
    return markdown(("option", "type", "default", "meaning"), rows)


def quality(_: str) -> str:
    """How a session's quality score and its use for training come about."""
    rule = "; ".join(part.strip() for part in PRIORITY_RULE.split(";"))
    return f"Quality, 0 to 1: {QUALITY_FORMULA}.\n\nUse: {rule}.\n"


def gates(_: str) -> str:
    """What the two gates of promotion ask for."""
    return markdown(("check", "viable", "production"), described())


def not_modelled(_: str) -> str:
    """What no figure of a report knows."""
    return "".join(f"* {item}\n" for item in NOT_MODELLED)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def main() -> None:
    """Rewrite every page whose tables changed."""
    for path in pages():
        text = path.read_text(encoding="utf-8")
        made = regenerated(text)
        if made != text:
            path.write_text(made, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
