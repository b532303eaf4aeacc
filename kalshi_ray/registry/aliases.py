"""Aliases: names that move from model to model, with a reason for every move and a way back.

The history of an alias is a pile. A move puts a model on top of it; a rollback takes models off until an earlier one
is on top. So rolling back twice goes two models back, never to and fro, and a move after that goes on from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from kalshi_ray.errors import UsageError

ALIASES = "aliases.jsonl"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an alias: what it names from then on."""

    alias: str
    model: str
    previous: str = ""
    reason: str
    at: str  # ISO 8601, UTC
    forced: bool = False  # past a closed gate, or past none at all
    back: bool = False  # a rollback
    report: str = ""  # sha256 of the report that opened the gate


def named_now(moves: Iterable[Alias]) -> dict[str, str]:
    """What each alias names after these moves."""
    return {move.alias: move.model for move in moves}


def pile(moves: Iterable[Alias], alias: str) -> list[str]:
    """The models that a rollback of `alias` can go through, the one it names now last."""
    held: list[str] = []
    for move in moves:
        if move.alias != alias:
            continue
        if move.back:
            while held and held[-1] != move.model:
                held.pop()
        if not held or held[-1] != move.model:
            held.append(move.model)
    return held


def check_name(kind: str, name: str) -> None:
    """UsageError for what could not stand in a path or an option."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{kind} {name!r} is not a name", remedy="Letters, digits, dot, dash and underscore")


def check_reason(what: str, reason: str) -> None:
    """UsageError for a move without a reason."""
    if not reason.strip():
        raise UsageError(f"{what} needs a reason", remedy="Say why (--reason); it is kept in the history")
