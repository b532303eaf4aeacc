"""The policy contract refuses every breach by name, and policies load by name, by class and by resolver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.orders import QUOTE
from kalshi_ray.errors import ContractError, UnknownName, UsageError
from kalshi_ray.policy import protocol
from kalshi_ray.policy.baselines import Hold, Random
from kalshi_ray.policy.protocol import PolicyState, check_policy, keyed_uniform, load_policy, market_key
from tests.policy.states import make_state, make_states

HERE = __name__


class Acts:
    """Answers what it is told to."""

    needs = "actions"
    name = "acts"

    def __init__(self, answer=lambda state: np.zeros(len(state.mask), np.int64)) -> None:
        self.answer = answer

    def reset(self, views: np.ndarray, seed: int) -> None:
        self.source = np.random.default_rng()

    def act(self, state: PolicyState) -> np.ndarray:
        return self.answer(state)

    quote = act


class Quotes(Acts):
    needs = "quotes"


class NoPolicy:
    pass


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda state: np.zeros(3, np.int64), r"shape \(3,\)"),
        (lambda state: np.zeros(len(state.mask)), "integer ids"),
        (lambda state: np.full(len(state.mask), 21), "ids are 0 to 20"),
        (lambda state: np.full(len(state.mask), -1), "id -1"),
        (lambda state: np.argmin(state.mask, axis=1), "is masked at step 0"),
        (lambda state: state.mask.fill(True) or np.zeros(len(state.mask), np.int64), "wrote to `mask`"),
        (lambda state: state.rows["equity"].fill(1) or np.zeros(len(state.mask), np.int64), "wrote to `rows`"),
    ],
)
def test_every_breach_of_the_contract_is_refused_by_name(answer, complaint: str) -> None:
    with pytest.raises(ContractError, match=complaint):
        check_policy(Acts(answer), make_states(1))


def test_draws_that_no_seed_repeats_are_refused() -> None:
    policy = Acts()
    policy.answer = lambda state: np.where(state.mask[:, 1] & (policy.source.random(len(state.mask)) < 0.5), 1, 0)
    with pytest.raises(ContractError, match="not deterministic"):
        check_policy(policy, make_states(1, steps=20))


def quote_of(**fields: int):
    def answer(state: PolicyState) -> np.ndarray:
        quotes = np.zeros(len(state.mask), QUOTE)
        for name, value in fields.items():
            quotes[name] = value
        return quotes

    return answer


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"bid_size": -1}, "negative size"),
        ({"bid_size": 1, "bid_price": 0}, "a bid off"),
        ({"ask_size": 1, "ask_price": 10_000}, "an ask off"),
        ({"bid_size": 1, "ask_size": 1, "bid_price": 500, "ask_price": 500}, "at or above its own ask"),
    ],
)
def test_quotes_that_cannot_stand_are_refused(fields: dict[str, int], complaint: str) -> None:
    with pytest.raises(ContractError, match=complaint):
        check_policy(Quotes(quote_of(**fields)), make_states(1))


def test_quotes_of_another_record_are_refused() -> None:
    with pytest.raises(ContractError, match=r"core\.orders\.QUOTE"):
        check_policy(Quotes(), make_states(1))


def test_sane_quotes_pass() -> None:
    check_policy(Quotes(quote_of(bid_size=1, bid_price=100, ask_size=1, ask_price=200)), make_states(1))


def test_baselines_load_by_name_with_options() -> None:
    assert isinstance(load_policy("hold"), Hold)
    policy = load_policy("random?trade_probability=0.25&name=often")
    assert isinstance(policy, Random) and (policy.trade_probability, policy.name) == (0.25, "often")


def test_any_class_loads_by_module_and_name() -> None:
    assert isinstance(load_policy(f"{HERE}:Acts"), Acts)


def test_everything_else_goes_to_the_resolver_of_bundles() -> None:
    asked = []
    load_policy("champion", bundles=lambda spec: asked.append(spec) or Hold())
    load_policy("registry/models/7", bundles=lambda spec: asked.append(spec) or Hold())
    assert asked == ["champion", "registry/models/7"]


@pytest.mark.parametrize(
    ("spec", "error", "complaint"),
    [
        ("champion", UnknownName, "no policy named 'champion'.*hold.*module:Class"),
        ("no_such_module:Policy", UsageError, "no module 'no_such_module'"),
        (f"{HERE}:Missing", UnknownName, "no policy class.*named 'Missing'.*Acts"),
        (f"{HERE}:NoPolicy", UsageError, "is no policy: it lacks reset, act, needs"),
        ("random?trade_chance=1", UsageError, "cannot be made.*trade_chance"),
        ("random?trade_probability=2", UsageError, "expected a share from 0 to 1"),
    ],
)
def test_what_cannot_be_loaded_says_why(spec: str, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        load_policy(spec)


def test_every_named_baseline_exists() -> None:
    for name in protocol.BASELINES:
        assert load_policy(name).name == name


@settings(max_examples=30)
@given(st.integers(0, 2**63), st.integers(0, 99), st.permutations(range(8)))
def test_draws_do_not_depend_on_how_rows_are_batched(seed: int, step: int, order: list[int]) -> None:
    state = make_state(1, step=step)
    drawn = keyed_uniform(seed, state.market, state.decision)
    assert (keyed_uniform(seed, state.market[order], state.decision[order]) == drawn[order]).all()
    assert (keyed_uniform(seed, state.market[:1], state.decision[:1]) == drawn[:1]).all()


def test_draws_are_uniform_and_differ_by_seed_market_decision_and_stream() -> None:
    market, decision = np.arange(100, dtype=np.uint64).repeat(100), np.tile(np.arange(100), 100)
    drawn = keyed_uniform(3, market, decision)
    counts, _ = np.histogram(drawn, 20, (0, 1))
    assert ((counts - 500) ** 2 / 500).sum() < 43.8  # chi-square, 19 degrees, 99.9 %
    assert len(np.unique(drawn)) == len(drawn)
    for other in (keyed_uniform(4, market, decision), keyed_uniform(3, market, decision, stream=1)):
        assert abs(np.corrcoef(drawn, other)[0, 1]) < 0.04


def test_the_key_of_a_ticker_never_changes() -> None:
    assert market_key("KXHIGHNY-25DEC01-T45") == 8849247928370327031


def test_a_misspelt_baseline_is_suggested() -> None:
    def none(spec: str) -> protocol.Policy:
        raise UnknownName("model", spec, [])

    with pytest.raises(UnknownName, match=r"'takeimbalance'. Did you mean take-imbalance\? Known: hold"):
        load_policy("takeimbalance", bundles=none)


def test_options_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'random\?x'.*Write options as name\?first=1"):
        load_policy("random?x")
