"""What every policy is: baselines, bundles and anybody's class speak this one protocol, in evaluation, paper and live.

A policy is asked for all rows at once. It answers with action ids (`needs = "actions"`, method `act`) or with the
orders it wants to have (`needs = "quotes"`, method `quote`); both pass the same risk, matching and fees.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Literal, Protocol, runtime_checkable
from urllib.parse import parse_qsl

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.orders import QUOTE
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.errors import ContractError, UnknownName, UsageError
from kalshi_ray.policy.chance import GOLDEN, draw_keyed

BASELINES: Mapping[str, str] = {
    "hold": "kalshi_ray.policy.baselines:Hold",
    "random": "kalshi_ray.policy.baselines:Random",
    "join-best": "kalshi_ray.policy.baselines:JoinBest",
    "take-imbalance": "kalshi_ray.policy.baselines:TakeImbalance",
    "inventory-aware": "kalshi_ray.policy.quoting:InventoryAware",
    "momentum": "kalshi_ray.policy.trends:Momentum",
    "mean-reversion": "kalshi_ray.policy.trends:MeanReversion",
    "longshot-fade": "kalshi_ray.policy.trends:LongshotFade",
}
"""Names that `load_policy` knows without a module path."""


@dataclass(frozen=True)
class PolicyState:
    """What a policy may look at, for B rows. The arrays belong to the caller and are overwritten by the next step:
    copy what you keep, write to none."""

    observation: NDArray[np.float32]  # [B, F]
    mask: NDArray[np.bool_]  # [B, A] True: the action is legal
    rows: NDArray[np.void]  # [B] trader state, named fields as in `env.rows`
    decision: NDArray[np.int64]  # [B] decisions since the episode began; 0: forget what you know of this row
    market: NDArray[np.uint64]  # [B] `market_key` of the ticker, the key of every draw; 0: the row plays none
    action_space: str
    observation_spec: str


@runtime_checkable
class Policy(Protocol):
    """Observations and masks in, actions or desired orders out.

    `reset` comes before the first state, with the market keys it will be asked about and the seed of all its draws;
    the same seed and states give the same answers, however the rows are batched.
    """

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def needs(self) -> Literal["actions", "quotes"]:
        """Which of `act` and `quote` it has."""

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """Forget everything; `views` [V] are market keys."""


class ActionPolicy(Policy, Protocol):
    """A policy that answers with ids of the action space."""

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """One legal action id for each row, [B]."""


class QuotePolicy(Policy, Protocol):
    """A policy that answers with the orders it wants on both sides."""

    def quote(self, state: PolicyState) -> NDArray[np.void]:
        """One QUOTE record for each row, [B]."""


def market_key(ticker: str) -> int:
    """A number for a ticker that is the same in every session and process."""
    return int.from_bytes(blake2b(ticker.encode(), digest_size=8).digest(), "little")


def keyed_uniform(
    seed: int, market: NDArray[np.uint64], decision: NDArray[np.int64], *, stream: int = 0
) -> NDArray[np.float64]:
    """Uniform draws in [0, 1), shape [B], that depend on seed, market, decision index and stream alone."""
    drawn = np.empty(len(market))
    draw_keyed(np.uint64((seed + stream * GOLDEN) % 2**64), market, decision, drawn)
    return drawn


def load_policy(spec: str, *, bundles: Callable[[str], Policy] | None = None) -> Policy:
    """A policy by baseline name, by `module:Class`, or else by what `bundles` resolves (a path or an alias).

    The first two take options of the constructor: `random?trade_probability=0.02`, `my.module:Maker?size=5`.
    Raises UnknownName when nothing of that name exists and UsageError when it is no policy.
    """
    path, _, query = spec.partition("?")
    target = BASELINES.get(path, path)
    if ":" in target and "/" not in target and "\\" not in target:
        return _construct(target, spec, query)
    if bundles is None:
        raise UnknownName("policy", spec, [*BASELINES, "module:Class"])
    try:
        return require_policy(bundles(spec), spec)
    except UnknownName as error:  # it may have been meant as a baseline
        known = [*BASELINES, "module:Class", *error.known]
        raise UnknownName("baseline, bundle or registered model", spec, known) from error


def _construct(target: str, spec: str, query: str) -> Policy:
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"policy {spec!r}: no module {error.name!r}", remedy="It must be importable: check the name and PYTHONPATH"
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise UnknownName(f"policy class in {module_name}", attribute, sorted(public))
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise UsageError(f"policy {spec!r}: {error}", remedy="Write options as name?first=1&second=2") from error
    options = {key: _literal(text) for key, text in pairs}
    try:
        made = factory(**options)
    except TypeError as error:
        raise UsageError(f"policy {spec!r} cannot be made: {error}", remedy=f"Options given: {options}") from error
    return require_policy(made, spec)


def _literal(text: str) -> Any:
    """An option's value: JSON where it is JSON, else the text itself."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def require_policy(candidate: object, spec: str) -> Policy:
    """`candidate` as a Policy, or UsageError saying what it lacks."""
    needs = getattr(candidate, "needs", None)
    methods = ["reset", {"actions": "act", "quotes": "quote"}.get(str(needs), "act")]
    lacks = [name for name in methods if not callable(getattr(candidate, name, None))]
    if needs not in ("actions", "quotes"):
        lacks.append("needs = 'actions' or 'quotes'")
    if not isinstance(getattr(candidate, "name", None), str):
        lacks.append("name: str")
    if lacks:
        raise UsageError(
            f"{spec!r} gives a {type(candidate).__name__}, which is no policy: it lacks {', '.join(lacks)}",
            remedy="See kalshi_ray.policy.protocol.Policy",
        )
    assert isinstance(candidate, Policy)
    return candidate


def decide(policy: Policy, state: PolicyState) -> NDArray[Any]:
    """The policy's answer to `state`: action ids or QUOTE records, [B], as `policy.needs` says."""
    answer: NDArray[Any] = getattr(policy, "act" if policy.needs == "actions" else "quote")(state)
    return answer


def check_policy(policy: Policy, states: Sequence[PolicyState], *, seed: int = 0) -> None:
    """The contract that every policy must pass; raises ContractError naming the first breach.

    `states` are consecutive steps of the same rows, as recorded from an environment. Checked: shape and type of the
    answers, no masked and no unknown id, sane quotes, nothing written to the inputs, the same answers for a seed.
    """
    require_policy(policy, getattr(policy, "name", type(policy).__name__))
    first = _replay(policy, states, seed)
    for step, (state, answer) in enumerate(zip(states, first, strict=True)):
        _check_answer(policy, state, answer, step)
    for step, (one, two) in enumerate(zip(first, _replay(policy, states, seed), strict=True)):
        for row in np.flatnonzero(one != two)[:1]:
            raise ContractError(
                f"policy {policy.name!r} is not deterministic: step {step}, row {row}, seed {seed}: "
                f"first {one[row]}, then {two[row]}",
                remedy="Key every draw by seed, market and decision index (keyed_uniform), and forget all in reset",
            )


_ARRAYS = ("observation", "mask", "rows", "decision", "market")


def _copy(array: NDArray[Any]) -> NDArray[Any]:
    """A writable copy to the byte: `copy` would leave out the padding of records."""
    return np.frombuffer(bytearray(array.tobytes()), array.dtype).reshape(array.shape)


def _replay(policy: Policy, states: Sequence[PolicyState], seed: int) -> list[NDArray[Any]]:
    answers = []
    policy.reset(np.unique(states[0].market), seed)
    for step, state in enumerate(states):
        copies: dict[str, Any] = {name: _copy(getattr(state, name)) for name in _ARRAYS}
        shown = replace(state, **copies)
        answers.append(np.array(decide(policy, shown)))
        for name in _ARRAYS:
            if getattr(shown, name).tobytes() != getattr(state, name).tobytes():
                raise ContractError(
                    f"policy {policy.name!r} wrote to `{name}` at step {step}",
                    remedy="Its inputs belong to the caller: work on a copy",
                )
    return answers


def _check_answer(policy: Policy, state: PolicyState, answer: NDArray[Any], step: int) -> None:
    count = len(state.mask)
    if answer.shape != (count,):
        raise ContractError(f"policy {policy.name!r} answered with shape {answer.shape} at step {step}, not ({count},)")
    if policy.needs == "actions":
        _check_actions(policy.name, state, answer, step)
    else:
        _check_quotes(policy.name, answer, step)


def _check_actions(name: str, state: PolicyState, answer: NDArray[Any], step: int) -> None:
    if not np.issubdtype(answer.dtype, np.integer):
        raise ContractError(f"policy {name!r} answered with {answer.dtype} at step {step}, expected integer ids")
    size = state.mask.shape[1]
    for row in np.flatnonzero((answer < 0) | (answer >= size)):
        raise ContractError(f"policy {name!r}: id {answer[row]} at step {step}, row {row}; ids are 0 to {size - 1}")
    for row in np.flatnonzero(~state.mask[np.arange(len(answer)), answer]):
        legal = np.flatnonzero(state.mask[row]).tolist()
        raise ContractError(f"policy {name!r}: id {answer[row]} is masked at step {step}, row {row}; legal: {legal}")


def _check_quotes(name: str, answer: NDArray[Any], step: int) -> None:
    if answer.dtype != QUOTE:
        raise ContractError(f"policy {name!r} answered with {answer.dtype} at step {step}, expected core.orders.QUOTE")
    bids, asks = answer["bid_size"] > 0, answer["ask_size"] > 0
    breaches = {
        "a negative size": (answer["bid_size"] < 0) | (answer["ask_size"] < 0),
        "a bid off (0, $1)": bids & ((answer["bid_price"] <= 0) | (answer["bid_price"] >= DOLLAR)),
        "an ask off (0, $1)": asks & ((answer["ask_price"] <= 0) | (answer["ask_price"] >= DOLLAR)),
        "a bid at or above its own ask": bids & asks & (answer["bid_price"] >= answer["ask_price"]),
    }
    for breach, where in breaches.items():
        for row in np.flatnonzero(where):
            raise ContractError(f"policy {name!r} quotes {breach} at step {step}, row {row}: {answer[row]}")
