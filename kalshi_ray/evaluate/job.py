"""Judging policies on a session: what `kalshi-ray evaluate` and `jobs/evaluate.py` call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.selection import CausalSettings, SuitabilitySettings, commonest, select, select_causal
from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import SplitSettings, split_views
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import NothingToDo, UsageError
from kalshi_ray.evaluate.contest import Contestant, Markets
from kalshi_ray.evaluate.edge import Truth, truth_from
from kalshi_ray.evaluate.page import to_html
from kalshi_ray.evaluate.report import to_json
from kalshi_ray.evaluate.run import Evaluation, evaluate
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.evaluate.tradelist import trade_lines
from kalshi_ray.policy.oracle import Oracle
from kalshi_ray.policy.protocol import Policy, load_policy
from kalshi_ray.registry.bundle import Bundle, contract_of
from kalshi_ray.telemetry import Progress


def evaluate_on_session(
    session: Session,
    policies: Sequence[str],
    settings: EvaluationSettings,
    *,
    env: EnvSettings,
    selection: SuitabilitySettings,
    causal: CausalSettings,
    split: SplitSettings,
    bundles: Callable[[str], Bundle] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge `policies` on one part of a session, beside the baselines and, where there is one, the oracle.

    A policy is `module:Class`, the name of a baseline, or what `bundles` resolves to a bundle: a path, an id, an alias.
    The training filter (`selection`) chooses nothing here: the report says what it would have left out.
    """
    entered = contestants_of(session, policies, settings, env=env, bundles=bundles)
    siblings = any(name.startswith("sibling_") for name in env.layout.names)
    pack = build_pack(session, siblings=siblings, progress=progress)
    chosen = choose_markets(session, pack, settings, selection=selection, causal=causal, split=split)
    return evaluate(
        entered, pack, chosen, env_settings=env, settings=settings, truth=truth_of(session), progress=progress
    )


def contestants_of(
    session: Session,
    policies: Sequence[str],
    settings: EvaluationSettings,
    *,
    env: EnvSettings,
    bundles: Callable[[str], Bundle] | None,
) -> list[Contestant]:
    """The judged policies, the oracle where the session has one, and the baselines, each under a name of its own.

    A bundle that was trained for another action space or observation raises ContractError with both fingerprints.
    """
    here = contract_of(env.action_space, env.observation)

    def resolve(spec: str) -> Policy:
        if bundles is None:
            raise UsageError(f"policy {spec!r} needs a registry", remedy="Give a baseline or module:Class")
        bundle = bundles(spec)
        bundle.require(here)
        return bundle.policy

    entered = [Contestant(load_policy(spec, bundles=resolve), "judged") for spec in policies]
    if settings.oracle and session.manifest.origin.get("settings", {}).get("regime") == "planted":
        entered.append(Contestant(Oracle.of(session.manifest.origin), "oracle"))
    entered += [Contestant(load_policy(spec), "baseline") for spec in settings.baselines if spec not in policies]
    names = [one.policy.name for one in entered]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"{names.count(name)} policies are called {name!r}",
                remedy="Leave one out or name it: random?name=r2",
            )
    return entered


def choose_markets(
    session: Session,
    pack: ViewPack,
    settings: EvaluationSettings,
    *,
    selection: SuitabilitySettings,
    causal: CausalSettings,
    split: SplitSettings,
) -> Markets:
    """The markets of the part that may be traded by what their first minutes showed, and where each begins."""
    every = np.arange(len(pack.views), dtype=np.int32)
    part = every if settings.part == "all" else getattr(split_views(pack, split), settings.part)
    if not len(part):
        raise NothingToDo(
            f"the {settings.part} part of {session.id} is empty",
            remedy=f"Give it a share (split.{settings.part}), or judge another part (evaluation.part)",
        )
    words = "the whole session" if settings.part == "all" else f"the {settings.part} part, split by {split.by}"
    filtered = ~np.isin(part, _suitable(session, pack, selection))
    if settings.select == "none":
        return Markets(part, np.full(len(part), -1, np.int64), f"{words}, every market", 0, filtered)
    first = select_causal(pack, causal)
    start_of = dict(zip(first.views.tolist(), first.starts.tolist(), strict=True))
    kept = np.isin(part, first.views)
    if not kept.any():
        raise NothingToDo(
            f"none of the {len(part)} markets in {words} can be traded by its first {causal.minutes:g} minutes",
            remedy="Ask for fewer updates (causal.updates), or take every market (evaluation.select = none)",
        )
    starts = np.array([start_of[int(view)] for view in part[kept]], np.int64)
    words += f"; traded from {causal.updates} updates in the first {causal.minutes:g} minutes on"
    names = {pack.tickers[view] for view in part[~kept]}
    if names:
        words += f"; left out: {commonest([one for one in first.rejected if one.ticker in names])}"
    return Markets(part[kept], starts, words, int((~kept).sum()), filtered[kept])


def _suitable(session: Session, pack: ViewPack, selection: SuitabilitySettings) -> np.ndarray:
    """Views that the training filter takes; none where nothing fits."""
    try:
        return select(pack, selection, markets=session.markets()).views
    except NothingToDo:
        return np.zeros(0, np.int32)


def truth_of(session: Session) -> Truth | None:
    """The true probability, where the session was made with one."""
    if not session.manifest.has_truth:
        return None
    table = session.truth()
    market, exch_ns, p = (table[name].to_numpy() for name in ("market", "exch_ns", "p"))
    return truth_from(market, exch_ns, p)


def write_report(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write report.json, report.html and trades.csv into `folder`; the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("report.json", "report.html", "trades.csv")]
    paths[0].write_bytes(to_json(evaluation.report))
    paths[1].write_text(to_html(evaluation.report), encoding="utf-8")
    with paths[2].open("w", encoding="utf-8") as stream:
        stream.writelines(line + "\n" for line in trade_lines(evaluation.ledgers, evaluation.events))
    return paths
