"""Reports about a model, with the gates as a test wants them."""

from __future__ import annotations

from typing import Any

import msgspec

from kalshi_ray.evaluate.gates import Check, Gate
from kalshi_ray.evaluate.report import EvaluationReport
from kalshi_ray.registry import contract_of
from tests.evaluate.reports import make_report

HERE = contract_of("sized21", "obs54")


def gate(name: Any, *, opened: bool) -> Gate:
    check = Check(name="win rate", passed=opened, bound="above 52 %", reason="win rate is 40 %, expected above 52 %")
    return Gate(name=name, fill_model="pessimistic", checks=(check,))


def judged(
    *, viable: bool = True, production: bool = True, name: str = "one", part: Any = "test", **data: Any
) -> EvaluationReport:
    """A real report about the model `name`, with the gates set."""
    report = make_report(synthetic=False)
    gates = (gate("viable", opened=viable), gate("production", opened=production))
    policy = msgspec.structs.replace(report.judged[0], name=name, gates=gates)
    return msgspec.structs.replace(
        report,
        policies=(policy, *report.policies[1:]),
        settings=msgspec.structs.replace(report.settings, part=part),
        data=msgspec.structs.replace(report.data, **data),
        action_fingerprint=HERE.action_space.fingerprint,
        observation_fingerprint=HERE.observation.fingerprint,
    )
