"""The judged policies again under other cash, limits, fees and latency, one at a time, on the same markets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.core.units import CONTRACT
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import UsageError
from kalshi_ray.evaluate.contest import Contestant, Markets
from kalshi_ray.evaluate.edge import Truth
from kalshi_ray.evaluate.metrics import Figures
from kalshi_ray.evaluate.report import EvaluationReport, Stressed
from kalshi_ray.evaluate.run import evaluate
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.telemetry import Progress


@dataclass(frozen=True)
class Scenario:
    """One thing that is different."""

    name: str
    cash: float = 1.0
    limit: float = 1.0
    fees: float = 1.0
    latency: float = 1.0

    def environment(self, env: EnvSettings) -> EnvSettings:
        """The settings with this scenario's cash, limit and latency."""
        return msgspec.structs.replace(
            env,
            bankroll_cents=max(1, round(env.bankroll_cents * self.cash)),
            position_limit=max(1 / CONTRACT, env.position_limit * self.limit),
            **{name: getattr(env, name) * self.latency for name in ("feed_ms", "entry_ms", "response_ms")},
        )


SCENARIOS = (
    Scenario("cash × 0.25", cash=0.25),
    Scenario("cash × 4", cash=4.0),
    Scenario("position limit × 0.25", limit=0.25),
    Scenario("position limit × 2", limit=2.0),
    Scenario("fees × 1.5", fees=1.5),
    Scenario("fees × 2", fees=2.0),
    Scenario("latency × 2", latency=2.0),
    Scenario("latency × 5", latency=5.0),
    Scenario("no latency", latency=0.0),
)


def with_fees(pack: ViewPack, factor: float) -> ViewPack:
    """The pack with every fee rate times `factor`, as if the exchange had set its multiplier so: exact as ever.

    Rates are whole parts per million; the updates are shared with `pack`.
    """
    if factor < 0:
        raise UsageError(f"fees times {factor}, expected 0 or more")
    views, keyframes, values = pack.views.copy(), pack.keyframes.copy(), pack.values.copy()
    for records in (views, keyframes):
        for name in ("taker_ppm", "maker_ppm"):
            records[name] = np.rint(records[name] * factor)
    changed = np.unique(pack.updates["size"][pack.updates["kind"] == Kind.FEE])
    at = np.concatenate([changed, changed + 1]).astype(np.int64)
    values[at] = np.rint(values[at] * factor)
    return replace(pack, views=views, keyframes=keyframes, values=values)


def stress(
    report: EvaluationReport,
    contestants: Sequence[Contestant],
    pack: ViewPack,
    markets: Markets,
    *,
    env: EnvSettings,
    settings: EvaluationSettings,
    truth: Truth | None = None,
    progress: Progress | None = None,
    scenarios: Sequence[Scenario] = SCENARIOS,
) -> EvaluationReport:
    """`report` with the judged policies' results under every scenario, all under one fill model."""
    judged = [one for one in contestants if one.role == "judged"]
    model = settings.fill_models if settings.fill_models not in ("auto", "band") else env.fill_model
    alone = msgspec.structs.replace(settings, fill_models=model, controls=False)
    found: dict[str, list[Stressed]] = {one.policy.name: [] for one in judged}
    for scenario in scenarios:
        again = evaluate(
            judged,
            with_fees(pack, scenario.fees) if scenario.fees != 1.0 else pack,
            markets,
            env_settings=scenario.environment(env),
            settings=alone,
            truth=truth,
            progress=_named(progress, scenario.name),
        )
        for before in report.judged:
            after = next(one for one in again.report.policies if one.name == before.name)
            if after.by_model:
                base = next(one for one in before.by_model if one.fill_model == model)
                found[before.name].append(_stressed(scenario, base, after.figures))
    policies = tuple(
        msgspec.structs.replace(one, stress=tuple(found[one.name])) if found.get(one.name) else one
        for one in report.policies
    )
    return msgspec.structs.replace(report, policies=policies)


def _named(progress: Progress | None, name: str) -> Progress | None:
    if progress is None:
        return None

    def report(label: str, done: int, total: int) -> None:
        progress(name if label == "evaluate" else label, done, total)

    return report


def _stressed(scenario: Scenario, base: Figures, after: Figures) -> Stressed:
    return Stressed(
        scenario=scenario.name,
        fill_model=after.fill_model,
        net=after.money.net,
        change=after.money.net - base.money.net,
        net_per_market=after.net_per_market,
        net_cents=after.money.net_cents,
        fees=after.money.fees,
        fills=after.counts.fills,
        contracts=after.counts.contracts,
        return_on_peak=after.capital.return_on_peak,
        drawdown_on_peak=after.capital.drawdown_on_peak,
    )
