"""The tables say what the code does: their figures come from it."""

from __future__ import annotations

import pytest

from kalshi_ray.core.actions import ACTION_SPACES
from kalshi_ray.core.features import OBSERVATIONS
from kalshi_ray.env.describe import BY_NAME, actions, everything, features, fees, latencies, reward_units
from kalshi_ray.env.settings import EnvSettings


@pytest.mark.parametrize("name", ACTION_SPACES)
def test_every_id_of_a_space_has_a_row(name: str) -> None:
    table = actions(name)
    assert [row[0] for row in table.rows] == [str(index) for index in range(ACTION_SPACES[name].size)]
    assert ACTION_SPACES[name].fingerprint in table.title


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_every_feature_of_a_layout_has_a_row_with_unit_formula_and_range(name: str) -> None:
    table = features(name)
    assert [row[1] for row in table.rows] == list(OBSERVATIONS[name].names)
    assert all(cell for row in table.rows for cell in row)
    assert OBSERVATIONS[name].fingerprint in table.title


def test_every_table_has_rows_as_wide_as_its_columns() -> None:
    for table in everything("sized21", "obs54"):
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert list(table.records()[0]) == list(table.columns)


def test_every_table_can_be_asked_for_by_name() -> None:
    arguments = {"actions": "priced7", "features": "obs-x"}
    names = {BY_NAME[name](arguments.get(name, "")).name.replace("_", "-") for name in BY_NAME}
    assert names == set(BY_NAME) == {table.name.replace("_", "-") for table in everything("sized21", "obs54")}


def test_defaults_and_rates_are_those_in_force() -> None:
    shown = {row[0]: row[1] for row in latencies().rows}
    assert shown["entry"] == f"{EnvSettings().entry_ms:g} ms" == "100 ms"
    assert {row[0]: row[1] for row in fees().rows}["taker"] == "0.07"
    assert ("dollars", "$1") in reward_units().rows
