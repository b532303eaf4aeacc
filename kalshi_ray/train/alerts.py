"""Alerts: what the figures of a run say a person should look at. They advise; whoever runs the loop may act on them.

An alert is raised once, when its figure passes its bound, and stands until the figure is clearly back: a figure that
lies on the bound does not ring again and again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np

from kalshi_ray.train.lines import dollars

Level = Literal["warn", "act"]

ENOUGH = 1_000  # decisions with a choice before a share says anything
HOLD_WARN, HOLD_ACT, HOLD_BACK = 0.90, 0.95, 0.02  # back: how far below the bound ends the alert
EARNING_LINES, EARNING = 10, 2.0  # lines, and deviations of their mean reward above zero: holding is then a choice
OVER, OVER_BACK = 0.03, 0.01  # share of orders above random play's, and six deviations of it
DROP, DROP_BACK = 0.30, 0.20  # share below the best validation
ONE_ACTION, ONE_ACTION_BACK = 0.95, 0.90  # share of one id among the choices that did not hold
LOW_EXPLORATION = 0.25  # entropy as a share of random play's, below which one id is a collapse
TREND_LINES = 30  # lines of progress at full cost that a trend is read from
TREND_STEPS = 100_000  # and the steps that they must span
TREND, TREND_BACK = -5.0, -2.0  # deviations of the difference between the last third and the first
MOST = 1_000.0  # deviations at most, where there is no noise

REMEDY = {  # what to do, by the names of `settings.ALERTS`
    "hold-90": "try train.entropy 0.1 or 0.15, train.learning_rate 5e-5, a cost ramp (train.cost_ramp 0.7) or "
    "env.mask_repeated_hold; acting at random holds {random:.0%}",
    "hold-95": "nothing is left to learn from: begin again with a cost ramp (train.cost_ramp 0.7), train.entropy 0.1 "
    "or 0.15, or a2c where updates are unstable; acting at random holds {random:.0%}",
    "over-trading": "every order pays spread and fee: a longer cost ramp, train.tau_s or train.discount higher, "
    "train.entropy lower, or markets with a smaller spread (selection.max_spread_cents)",
    "reward-trend": "updates may be too large: train.learning_rate 5e-5, train.batch and train.minibatch doubled, "
    "train.clip 0.1",
    "validation-drop": "the policy learns its markets by heart: train.epochs 5, train.network dropout, more markets or "
    "sessions, train.early_stop 0.3",
    "one-action": "exploring has ended: train.entropy 0.1, train.clip 0.1, train.learning_rate 5e-5, more markets",
}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert as it was raised."""

    name: str
    level: Level
    steps: int
    value: float
    bound: float
    words: str


@dataclass
class _Shares:
    """Shares over the newest lines that hold at least `ENOUGH` decisions with a choice."""

    lines: deque[tuple[float, Mapping[str, float]]] = field(default_factory=deque)

    def add(self, choices: float, line: Mapping[str, float]) -> None:
        self.lines.append((choices, line))
        while sum(count for count, _ in self.lines) - self.lines[0][0] >= ENOUGH:
            self.lines.popleft()

    @property
    def count(self) -> float:
        return sum(count for count, _ in self.lines)

    def mean(self, name: str) -> float:
        return sum(count * line[name] for count, line in self.lines) / self.count


class Watch:
    """Sees the lines of progress of one run, in order, and says which alerts each of them raises."""

    def __init__(self) -> None:
        self._standing: set[str] = set()
        self._shares = _Shares()
        self._choices = 0.0
        self._rewards: deque[tuple[float, float]] = deque(maxlen=TREND_LINES)
        self._earned: deque[float] = deque(maxlen=EARNING_LINES)
        self._best = -math.inf

    @property
    def standing(self) -> frozenset[str]:
        """Names of the alerts that stand now."""
        return frozenset(self._standing)

    def see(self, line: Mapping[str, float]) -> list[Alert]:
        """The alerts that this line raises. A line that measured nothing since the last one changes nothing."""
        raised: list[Alert | None] = []
        fresh = line.get("choices", 0.0) - self._choices
        if fresh < 0.0:  # another process went on with the run, and counts anew
            fresh = line["choices"]
        if fresh > 0.0:
            self._choices = line["choices"]
            self._shares.add(fresh, line)
            self._earned.append(line["reward_per_1000"])
            raised += [*self._see_holds(line), self._see_orders(line), self._see_one_action(line)]
            raised.append(self._see_rewards(line))
        raised.append(self._see_validation(line))
        return [alert for alert in raised if alert is not None]

    def _see_holds(self, line: Mapping[str, float]) -> list[Alert | None]:
        share, random = self._shares.mean("hold_share"), self._shares.mean("random_hold_share")
        found: list[Alert | None] = []
        for name, level, bound in (("hold-90", "warn", HOLD_WARN), ("hold-95", "act", HOLD_ACT)):
            # Where even random play holds that often, the masks leave nothing else to do; and who waits and earns is
            # waiting for a signal.
            raised = share > bound and share > random and self._shares.count >= ENOUGH and not self._earns()
            words = f"{share:.1%} of the decisions with a choice hold; {REMEDY[name].format(random=random)}"
            back = share < bound - HOLD_BACK
            found.append(self._edge(name, level, line, share, bound, raised=raised, back=back, words=words))  # type: ignore[arg-type]
        return found

    def _earns(self) -> bool:
        """Whether the newest rewards are above zero by more than their noise."""
        count = len(self._earned)
        if count < EARNING_LINES // 2:
            return False
        return float(np.mean(self._earned)) > EARNING * float(np.std(self._earned, ddof=1)) / math.sqrt(count)

    def _see_orders(self, line: Mapping[str, float]) -> Alert | None:
        acts, random = 1.0 - self._shares.mean("hold_share"), 1.0 - self._shares.mean("random_hold_share")
        noise = 6.0 * math.sqrt(max(random * (1.0 - random), 0.0) / max(self._shares.count, 1.0))
        over, bound = acts - random, max(OVER, noise)
        words = (
            f"{acts:.1%} of the decisions with a choice order, acting at random {random:.1%}; {REMEDY['over-trading']}"
        )
        # While costs are refunded, orders are what the ramp is there for.
        raised = over > bound and self._shares.count >= ENOUGH and line["cost_share"] >= 1.0
        return self._edge(
            "over-trading", "warn", line, acts, random + bound, raised=raised, back=over < OVER_BACK, words=words
        )

    def _see_one_action(self, line: Mapping[str, float]) -> Alert | None:
        """One id among the orders of a line, where the policy has stopped exploring. A few orders prove nothing."""
        share, exploration = line["top_action_share"], self._shares.mean("exploration_ratio")
        newest, _ = self._shares.lines[-1]
        orders = newest * (1.0 - line["hold_share"])
        raised = share > ONE_ACTION and exploration < LOW_EXPLORATION and orders >= ENOUGH / 20
        words = (
            f"{share:.1%} of what does not hold is action {line['top_action']:.0f}, and the entropy is "
            f"{exploration:.0%} of random play's; {REMEDY['one-action']}"
        )
        back = share < ONE_ACTION_BACK or exploration > LOW_EXPLORATION
        return self._edge("one-action", "act", line, share, ONE_ACTION, raised=raised, back=back, words=words)

    def _see_rewards(self, line: Mapping[str, float]) -> Alert | None:
        """The last third of the newest lines against the first: only at full cost, as rising costs lower rewards."""
        if line["cost_share"] < 1.0:
            self._rewards.clear()
            return None
        self._rewards.append((line["steps"], line["reward_per_1000"]))
        if len(self._rewards) < TREND_LINES or self._rewards[-1][0] - self._rewards[0][0] < TREND_STEPS:
            return None
        change = deviations([reward for _, reward in self._rewards])
        words = f"rewards fell by {-change:.1f} deviations over the last {TREND_LINES} lines; {REMEDY['reward-trend']}"
        return self._edge(
            "reward-trend", "warn", line, change, TREND, raised=change < TREND, back=change > TREND_BACK, words=words
        )

    def _see_validation(self, line: Mapping[str, float]) -> Alert | None:
        if "validation_net" not in line:
            return None
        now = line["validation_net"]
        self._best = max(self._best, now)
        if self._best <= 0.0:  # nothing to fall from
            return None
        drop = 1.0 - now / self._best
        words = f"{dollars(now)} a validation market, {drop:.0%} below the best of {dollars(self._best)}; "
        words += REMEDY["validation-drop"]
        return self._edge(
            "validation-drop", "act", line, drop, DROP, raised=drop > DROP, back=drop < DROP_BACK, words=words
        )

    def _edge(
        self, name: str, level: Level, line: Mapping[str, float], value: float, bound: float, **state: Any
    ) -> Alert | None:
        """An alert where it begins to stand; it falls when its figure is back."""
        if name in self._standing:
            if state["back"]:
                self._standing.discard(name)
            return None
        if not state["raised"]:
            return None
        self._standing.add(name)
        return Alert(
            name=name, level=level, steps=int(line["steps"]), value=round(value, 6), bound=round(bound, 6),
            words=state["words"],
        )  # fmt: skip


def deviations(values: list[float]) -> float:
    """Mean of the last third less that of the first, in deviations of that difference."""
    third = len(values) // 3
    first, last = np.array(values[:third]), np.array(values[-third:])
    noise = math.sqrt((first.var(ddof=1) + last.var(ddof=1)) / third)
    change = float(last.mean() - first.mean())
    return change / max(noise, abs(change) / MOST, 1e-300)
