"""From what was played to ledgers, and from ledgers to the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.core.units import MICROS_PER_DOLLAR, MICROSECOND, MILLISECOND
from kalshi_ray.env.records import EPISODE, FILL
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.evaluate.breakdown import breakdowns_of, consistency_of
from kalshi_ray.evaluate.contest import Contestant, Markets, can_rest
from kalshi_ray.evaluate.edge import Truth, fill_edges
from kalshi_ray.evaluate.families import families_of
from kalshi_ray.evaluate.gates import Control, Evidence, judge, pessimistic
from kalshi_ray.evaluate.intervals import MIN_STRONG
from kalshi_ray.evaluate.ledger import Ledger
from kalshi_ray.evaluate.markouts import markouts_of
from kalshi_ray.evaluate.metrics import Figures, days_covered, measure
from kalshi_ray.evaluate.report import (
    Data,
    EvaluationReport,
    PolicyReport,
    actions_of,
    curve_of,
    events_of,
    heats_of,
)
from kalshi_ray.evaluate.settings import BAND, EvaluationSettings
from kalshi_ray.evaluate.shards import Played, Shard
from kalshi_ray.evaluate.traits import Traits, traits_of


def ledger_of(
    pack: ViewPack,
    shards: Sequence[Shard],
    played: Sequence[Played],
    times: NDArray[np.int64],
    *,
    policy: str,
    fill_model: str,
) -> Ledger:
    """One ledger from the shards of one policy under one fill model, in the order of the shards."""
    views = np.concatenate([shard.views[one.market] for shard, one in zip(shards, played, strict=True)])
    owners, first = [np.zeros(0, np.int32)], 0
    for one in played:
        owners.append((first + np.searchsorted(one.market, one.fill_market)).astype(np.int32))
        first += len(one.market)
    return Ledger(
        policy=policy,
        fill_model=fill_model,
        views=views,
        tickers=tuple(pack.tickers[view] for view in views),
        events=pack.views["event"][views],
        episodes=np.concatenate([np.zeros(0, EPISODE), *(one.episodes for one in played)]),
        fills=np.concatenate([np.zeros(0, FILL), *(one.fills for one in played)]),
        fill_market=np.concatenate(owners),
        twice_mids=np.concatenate([one.twice_mids for one in played]),
        curve_ns=times,
        curve=np.sum([one.curve for one in played], axis=0),
        actions=np.sum([one.actions for one in played], axis=0),
        spreads=np.concatenate([one.spreads for one in played]),
        states=np.sum([one.states for one in played], axis=0),
        moments=np.sum([one.moments for one in played], axis=0),
    )


def compose_report(
    contestants: Sequence[Contestant],
    ledgers: Mapping[int, Sequence[Ledger]],
    barred: Mapping[int, str],
    pack: ViewPack,
    markets: Markets,
    *,
    env_settings: EnvSettings,
    settings: EvaluationSettings,
    truth: Truth | None,
) -> EvaluationReport:
    """The report of all contestants. `ledgers` are by contestant; `barred` says why one could not be judged."""
    figures = {index: [_measure(one, pack, settings, truth) for one in own] for index, own in ledgers.items()}
    oracle = [index for index, one in enumerate(contestants) if one.role == "oracle" and index in figures]
    if oracle:
        best = figures[oracle[0]]
        figures = {index: [_beside_oracle(one, best) for one in own] for index, own in figures.items()}
    feed_us = round(env_settings.feed_ms * MILLISECOND) // MICROSECOND
    traits = traits_of(pack, markets.views, markets.starts, markets.labels, feed_us=feed_us)
    reports = []
    for index, one in enumerate(contestants):
        if index in barred:
            reports.append(_barred(one, barred[index]))
            continue
        made = _policy_report(one, figures[index], ledgers[index], pack, markets, traits, env_settings, settings)
        if one.role == "judged":
            made = _with_verdicts(made, index, contestants, figures, pack, env_settings)
        reports.append(made)
    judged = [(index, one) for index, one in enumerate(contestants) if one.role == "judged" and index in figures]
    return EvaluationReport(
        data=_data(pack, markets, [one for own in ledgers.values() for one in own], synthetic=truth is not None),
        policies=tuple(reports),
        settings=settings,
        environment=msgspec.to_builtins(env_settings),
        action_space=env_settings.action_space,
        action_fingerprint=env_settings.actions.fingerprint,
        observation=env_settings.observation,
        observation_fingerprint=env_settings.layout.fingerprint,
        families=families_of(
            [(one.family, one.policy.name, one.seed, pessimistic(figures[index])) for index, one in judged]
        ),
    )


def _with_verdicts(
    made: PolicyReport,
    index: int,
    contestants: Sequence[Contestant],
    figures: Mapping[int, Sequence[Figures]],
    pack: ViewPack,
    env_settings: EnvSettings,
) -> PolicyReport:
    """The report of a judged policy with its gates and its consistency over kinds of market."""
    one, own = contestants[index], figures[index]
    baselines = {
        other.policy.name: min(found.money.net for found in figures[at])
        for at, other in enumerate(contestants)
        if other.role == "baseline" and at in figures
    }
    complete = not can_rest(one.policy, env_settings) or {found.fill_model for found in own} >= set(BAND)
    evidence = Evidence(depth=pack.depth, band_complete=complete, trained_on=one.trained_on)
    return msgspec.structs.replace(
        made,
        gates=judge(own, baselines, evidence, _controls(index, contestants, figures)),
        consistency=consistency_of(made.breakdowns),
    )


def _controls(index: int, contestants: Sequence[Contestant], figures: Mapping[int, Sequence[Figures]]) -> list[Control]:
    """What the negative controls of a judged policy earned to mid, each under the fill model where it earned most."""
    name = contestants[index].policy.name
    return [
        Control(
            name=one.policy.name,
            gross_per_market=max((found.gross_per_market for found in figures[at]), key=lambda gross: gross.mean),
        )
        for at, one in enumerate(contestants)
        if one.role == "control" and at in figures and one.of == name
    ]


def _measure(ledger: Ledger, pack: ViewPack, settings: EvaluationSettings, truth: Truth | None) -> Figures:
    edges = None if truth is None else fill_edges(ledger, truth, pack.views["market"][ledger.views])
    return measure(ledger, settings, edges=edges)


def _beside_oracle(figures: Figures, oracle: Sequence[Figures]) -> Figures:
    """The same figures with the edge as a share of the oracle's, under the same fill model where it ran."""
    known = {one.fill_model: one for one in oracle}
    best = known.get(figures.fill_model, oracle[0]).edge
    if figures.edge is None or best is None or best.per_market.mean <= 0:
        return figures
    share = figures.edge.per_market.mean / best.per_market.mean
    return msgspec.structs.replace(figures, edge=msgspec.structs.replace(figures.edge, share_of_oracle=share))


def _barred(contestant: Contestant, reason: str) -> PolicyReport:
    policy = contestant.policy
    return PolicyReport(name=policy.name, role=contestant.role, decides=_decides(contestant), not_measurable=reason)


def _decides(contestant: Contestant) -> str:
    mode = getattr(contestant.policy, "decide", "")
    return f"{contestant.policy.needs}, {mode}" if mode else contestant.policy.needs


def _policy_report(
    contestant: Contestant,
    figures: Sequence[Figures],
    ledgers: Sequence[Ledger],
    pack: ViewPack,
    markets: Markets,
    traits: Traits,
    env_settings: EnvSettings,
    settings: EvaluationSettings,
) -> PolicyReport:
    lowest = min(range(len(figures)), key=lambda at: figures[at].money.net)
    ledger = ledgers[lowest]
    place = {int(view): at for at, view in enumerate(markets.views)}
    rows = np.array([place[int(view)] for view in ledger.views], np.int64)
    return PolicyReport(
        name=contestant.policy.name,
        role=contestant.role,
        decides=_decides(contestant),
        family=contestant.family,
        seed=contestant.seed,
        home=contestant.home,
        by_model=tuple(figures),
        markouts=markouts_of(ledger.fills, ledger.twice_mids, settings.markouts_s),
        actions=actions_of(ledger, env_settings.actions),
        heats=heats_of(ledger),
        breakdowns=breakdowns_of(ledger, traits, rows, settings, acts=contestant.policy.needs == "actions"),
        events=events_of(ledger, pack.events),
        curve=curve_of(ledger),
        filtered_net_dollars=_filtered_net(ledger, markets),
        remarks=_remarks(contestant, figures[lowest]),
    )


def _filtered_net(ledger: Ledger, markets: Markets) -> float | None:
    if markets.filtered is None:
        return None
    dropped = np.isin(ledger.views, markets.views[markets.filtered])
    return int(ledger.closed_pnl[dropped].sum()) / MICROS_PER_DOLLAR


def _remarks(contestant: Contestant, figures: Figures) -> tuple[str, ...]:
    """What a reader should know before believing the figures."""
    counts, interval = figures.counts, figures.net_per_market
    found = []
    if counts.refused and contestant.policy.needs == "actions":
        found.append(f"{counts.refused:,} masked actions came and were not sent: the policy breaks its contract")
    if counts.open_positions:
        found.append(f"{counts.open_positions:,} positions were open at the end of the recording and closed by walking")
    if counts.unknown_books:
        found.append(f"{counts.unknown_books:,} of them had no book to close against and count as worth nothing")
    if interval.largest_event_share is not None and interval.largest_event_share > 0.5:
        found.append(f"one event makes {interval.largest_event_share:.0%} of what was won and lost")
    if contestant.trained_on:
        found.append(f"{contestant.trained_on:,} of the judged events were trained on: memory, not skill")
    if counts.trades == 0 and contestant.role == "judged":
        found.append("no trade: nothing was learnt from these markets, and the gates stay closed")
    return tuple(found)


def _data(pack: ViewPack, markets: Markets, ledgers: Sequence[Ledger], *, synthetic: bool) -> Data:
    rows = pack.views[markets.views]
    days = _days(pack, markets.views)
    return Data(
        session=pack.session,
        checksum=pack.checksum,
        selection=markets.selection,
        events=len(np.unique(rows["event"])),
        markets=len(rows),
        days=days,
        updates=int((rows["stop"] - rows["start"]).sum()),
        depth=pack.depth,
        sizes=pack.sizes,
        has_trades=pack.has_trades,
        synthetic=synthetic,
        flags=data_flags(pack, markets, ledgers),
        dropped_markets=markets.dropped,
        filtered_markets=0 if markets.filtered is None else int(markets.filtered.sum()),
        tickers=tuple(sorted({pack.tickers[view] for view in markets.views})),
    )


def _days(pack: ViewPack, views: NDArray[np.int32]) -> int:
    rows = pack.views[views]
    return days_covered(pack.updates["recv_ns"][rows["start"]], pack.updates["recv_ns"][rows["stop"] - 1])


def data_flags(pack: ViewPack, markets: Markets, ledgers: Sequence[Ledger]) -> tuple[str, ...]:
    """What the recording cannot say, and what to be careful about."""
    rows = pack.views[markets.views]
    unsettled = len(rows) - int(ledgers[0].settled.sum()) if ledgers else 0
    gaps = sum(int((pack.updates["kind"][row["start"] : row["stop"]] == Kind.GAP).sum()) for row in rows)
    events = len(np.unique(rows["event"]))
    found = {
        "depth: best: only best quotes were recorded, no gate opens on them alone": pack.depth == "best",
        "sizes: assumed: the sizes at the touch were not recorded": pack.sizes == "assumed",
        "no prints were recorded: resting orders fill by the opposite quote alone": not pack.has_trades,
        f"{unsettled:,} of {len(rows):,} markets have no venue result: their P&L is marked and closed": unsettled > 0,
        f"{int((rows['close_ns'] == 0).sum()):,} markets have no scheduled close": bool((rows["close_ns"] == 0).any()),
        f"{gaps:,} gaps: no decision and no fill inside them": gaps > 0,
        f"{events} events: {MIN_STRONG} needed for a gate": events < MIN_STRONG,
        f"{markets.dropped:,} markets were left out by the selection": markets.dropped > 0,
    }
    return tuple(words for words, holds in found.items() if holds)
