"""Action spaces: every pair of intent and size once, names and fingerprints that mean one thing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.actions import (
    ACTION_SPACES,
    DOCUMENT_SIZES,
    SMALL_SIZES,
    ActionSpec,
    Intent,
    Pricing,
    action_space,
    decode,
    generic,
)
from kalshi_ray.core.units import CONTRACT
from kalshi_ray.errors import UnknownName, UsageError

INTENTS = [Intent.BUY_YES, Intent.SELL_YES, Intent.BUY_NO, Intent.SELL_NO]
FINGERPRINTS = {
    "sized21": "7c3ca5768edc8512",
    "sized21-join": "56f3f35753b347d3",
    "sized21-improve": "ff0a25c1c742ff10",
    "sized21-small": "83f51ff77d23ee9d",
    "intent5": "306f0f41ee82ba0e",
    "intent5-join": "aa76f6318da85c09",
    "priced7": "0724edc231d6d2d9",
}
MEANINGS = {
    "sized21": (INTENTS, [Pricing.TAKE], DOCUMENT_SIZES),
    "sized21-join": (INTENTS, [Pricing.JOIN], DOCUMENT_SIZES),
    "sized21-improve": (INTENTS, [Pricing.IMPROVE], DOCUMENT_SIZES),
    "sized21-small": (INTENTS, [Pricing.TAKE], SMALL_SIZES),
    "intent5": (INTENTS, [Pricing.TAKE], [10]),
    "intent5-join": (INTENTS, [Pricing.JOIN], [10]),
    "priced7": ([Intent.BUY_YES, Intent.SELL_YES], [Pricing.TAKE, Pricing.INSIDE, Pricing.JOIN], [1]),
}
NAMES = list(ACTION_SPACES)


def test_the_sizes_are_those_of_the_documents() -> None:
    assert DOCUMENT_SIZES == [5, 10, 20, 50, 100]
    assert SMALL_SIZES == [1, 5, 10, 50, 100]
    assert sorted(MEANINGS) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_intent_pricing_and_size_is_one_id_and_zero_is_hold(name: str) -> None:
    spec = action_space(name)
    intents, pricings, sizes = MEANINGS[name]
    decoded = [decode(spec, action) for action in range(spec.size)]
    assert decoded[0] == (Intent.HOLD, Pricing.NONE, 0)
    assert decoded[1:] == [(i, p, s * CONTRACT) for i, p, s in itertools.product(intents, pricings, sizes)]


def test_the_ids_of_sized21_are_those_of_the_documents() -> None:
    """0 HOLD, 1-5 BUY_YES, 6-10 SELL_YES, 11-15 BUY_NO, 16-20 SELL_NO, sizes ascending."""
    spec = action_space("sized21")
    assert spec.size == 21
    assert [decode(spec, a)[0].name for a in (0, 1, 5, 6, 10, 11, 15, 16, 20)] == [
        "HOLD", "BUY_YES", "BUY_YES", "SELL_YES", "SELL_YES", "BUY_NO", "BUY_NO", "SELL_NO", "SELL_NO",
    ]  # fmt: skip
    assert action_space("intent5").size == 5
    assert action_space("priced7").size == 7


@pytest.mark.parametrize("name", NAMES)
def test_an_id_is_described_in_words_and_contracts(name: str) -> None:
    spec = action_space(name)
    for action in range(spec.size):
        intent, pricing, lots = decode(spec, action)
        assert spec.describe(action) == {
            "id": action,
            "intent": intent.name,
            "contracts": lots / CONTRACT,
            "pricing": pricing.name,
            "time_in_force": {"NONE": "", "TAKE": "IOC"}.get(pricing.name, "GTC post-only"),
        }


@pytest.mark.parametrize("name", NAMES)
def test_an_id_out_of_range_is_refused(name: str) -> None:
    spec = action_space(name)
    for action in (-1, spec.size, spec.size + 100):
        with pytest.raises(UsageError, match=f"{action} is not in {spec.name}.* ids 0 to {spec.size - 1}"):
            decode(spec, action)


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_runs_of_one_intent_and_pricing_with_ascending_sizes(name: str) -> None:
    table = action_space(name).table
    for before, after in itertools.pairwise(table):
        same = (before["intent"], before["pricing"]) == (after["intent"], after["pricing"])
        assert (before["group"] == after["group"]) == same
        assert not same or before["size"] < after["size"]


def test_fingerprints_do_not_change_by_accident() -> None:
    """A changed fingerprint makes every bundle of that space unloadable: say so under *Models* in the changelog."""
    assert {name: spec.fingerprint for name, spec in ACTION_SPACES.items()} == FINGERPRINTS


def test_fingerprints_tell_every_two_spaces_apart() -> None:
    prints = [spec.fingerprint for spec in ACTION_SPACES.values()]
    assert len(set(prints)) == len(prints)


def test_a_fingerprint_is_of_the_meaning_not_of_the_name() -> None:
    same = action_space("generic[5,10,20,50,100;take]")
    assert same.fingerprint == action_space("sized21").fingerprint
    table = action_space("sized21").table.copy()
    table["size"][3] += CONTRACT
    assert ActionSpec("sized21", table).fingerprint != same.fingerprint


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=5, unique=True).map(sorted),
    st.lists(st.sampled_from([p for p in Pricing if p is not Pricing.NONE]), min_size=1, max_size=4, unique=True),
)
def test_a_generic_space_is_found_again_by_its_name(sizes: list[int], pricings: list[Pricing]) -> None:
    spec = generic(sizes, pricings)
    assert spec.size == 1 + 4 * len(sizes) * len(pricings)
    again = action_space(spec.name)
    assert again.name == spec.name
    assert np.array_equal(again.table, spec.table)
    assert {decode(spec, a) for a in range(1, spec.size)} == {
        (i, p, s * CONTRACT) for i, p, s in itertools.product(INTENTS, pricings, sizes)
    }


@pytest.mark.parametrize(
    "name", ["sized22", "", "generic", "generic[]", "generic[5]", "generic[5;]", "generic[;take]", "generic[-5;take]"]
)
def test_an_unknown_space_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownName, match=r"no action space named.*sized21"):
        action_space(name)


@pytest.mark.parametrize("word", ["none", "touch", ""])
def test_an_unknown_pricing_is_refused_with_the_known_ones(word: str) -> None:
    with pytest.raises(UnknownName, match=r"no pricing named.*take, inside, join, improve"):
        action_space(f"generic[5;take,{word}]")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("generic[0;take]", "sizes from 1 to 10,000,000"),
        ("generic[,;take]", "sizes from 1 to 10,000,000"),
        ("generic[99999999999999999999;take]", "sizes from 1 to 10,000,000"),
        ("generic[10,5;take]", "must ascend, got 5 after 10"),
        ("generic[5,5;join]", "must ascend, got 5 after 5"),
        ("generic[5;take,take]", "must ascend"),
    ],
)
def test_a_generic_space_that_makes_no_sense_is_refused(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        action_space(name)


def test_a_generic_space_without_pricing_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one pricing"):
        generic([5], [])


def test_the_table_of_a_space_cannot_be_written() -> None:
    for spec in ACTION_SPACES.values():
        assert not spec.table.flags.writeable
