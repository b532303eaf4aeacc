"""Where each model fits is told by fingerprint and probe, never by date or name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kalshi_ray.core.actions import ACTION_SPACES, action_space
from kalshi_ray.core.features import OBSERVATIONS
from kalshi_ray.errors import UsageError
from kalshi_ray.registry import Registry, Verdict, load_bundle, open_registry
from kalshi_ray.registry.bundle import FILES
from kalshi_ray.registry.compare import compare
from kalshi_ray.registry.compatibility import check_models, fits_of, reach_of
from kalshi_ray.registry.verdicts import GateVerdict
from tests.registry.bundles import NOW, save


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return open_registry(str(tmp_path / "registry"), now=lambda: NOW)


def add(registry: Registry, path: Path, name: str, **changes: object) -> None:
    save(path / name, id=name, **changes)
    registry.register(path / name)


def verdict(name: str, *, production: bool = False, low: float = 0.1, objections: tuple[str, ...] = ()) -> Verdict:
    gates = (GateVerdict(name="viable", open=True), GateVerdict(name="production", open=production))
    return Verdict(
        at=NOW.isoformat(), report=name, session="s", checksum="c", tickers="t", part="test", events=30, markets=30,
        fill_model="pessimistic", net_per_market=0.5, low=low, high=0.9, gates=gates, objections=objections,
    )  # fmt: skip


@pytest.mark.parametrize("actions", [*ACTION_SPACES, "generic[5,20;take,join]"])
@pytest.mark.parametrize("seen", OBSERVATIONS)
def test_a_bundle_fits_its_own_layouts_and_what_differs_elsewhere_is_told(
    tmp_path: Path, actions: str, seen: str
) -> None:
    bundle = save(tmp_path / "b", actions=actions, seen=seen)
    fits = fits_of(bundle)
    assert [fit.name for fit in fits if fit.fits] == [actions, seen]
    assert {fit.name for fit in fits} == {*ACTION_SPACES, actions, *OBSERVATIONS}
    for fit in fits:
        assert fit.fits or "entry " in fit.differs, "the first entry that is another is named"


@pytest.mark.parametrize("actions", [*ACTION_SPACES, "generic[5,20;take,join]"])
def test_every_id_decodes_and_can_be_reached(tmp_path: Path, actions: str) -> None:
    """The fault of the earlier system: ids above 4 were turned into HOLD, 16 of 21."""
    reach = reach_of(save(tmp_path / "b", actions=actions))
    assert reach.ids == reach.decoded == reach.reached == action_space(actions).size
    assert reach.is_whole and 0 < len(reach.used) <= reach.offered <= reach.ids


def test_damaged_models_are_listed_and_the_others_checked(registry: Registry, tmp_path: Path) -> None:
    for name in ("one", *FILES):
        add(registry, tmp_path, name)
    for name in FILES:
        (tmp_path / "registry" / "models" / name / name).write_bytes(b"x")
    table = check_models(registry)
    assert [model.id for model in table.damaged] == sorted(FILES)
    assert all("not what was saved" in model.problem for model in table.damaged)
    assert [model.reach.is_whole for model in table.models if model.reach] == [True]


def test_an_alias_that_names_nothing_is_damage(registry: Registry, tmp_path: Path) -> None:
    add(registry, tmp_path, "one")
    registry.move("champion", "one", reason="first")
    shutil.rmtree(tmp_path / "registry" / "models" / "one")
    [lost] = [model for model in check_models(registry).damaged if model.aliases == ["champion"]]
    assert lost.id == "one"


def test_advice_goes_by_gates_then_validation_and_never_by_name_or_date(registry: Registry, tmp_path: Path) -> None:
    add(registry, tmp_path, "newest-final-best", created="2099-01-01")
    assert "evaluate, then promote" in check_models(registry).advice.because
    add(registry, tmp_path, "validated", metrics={"validation_net": -0.2}, created="2001-01-01")
    assert check_models(registry).advice.primary == "validated"
    add(registry, tmp_path, "better", metrics={"validation_net": 0.0})
    assert check_models(registry).advice.primary == "better"
    add(registry, tmp_path, "viable", sessions=[{"id": "s", "checksum": "0", "markets": 500}])
    registry.keep_verdicts("viable", [verdict("r1")])
    assert check_models(registry).advice.primary == "viable"
    add(registry, tmp_path, "leaky")
    registry.keep_verdicts("leaky", [verdict("r2", production=True, objections=("training saw them",))])
    assert check_models(registry).advice.primary == "viable"
    add(registry, tmp_path, "open")
    registry.keep_verdicts("open", [verdict("r3", production=True, low=0.01)])
    advice = check_models(registry).advice
    assert (advice.primary, advice.alternative) == ("open", "viable")
    assert "production gate is open" in advice.because


def test_equal_models_differ_in_nothing_that_decides(tmp_path: Path) -> None:
    one, two = save(tmp_path / "a", id="a"), save(tmp_path / "b", id="b")
    found = compare([one, two], [[], []])
    assert not any(row.differs for row in found.rows)
    [pair] = found.pairs
    assert (pair.weights_apart, pair.equal_actions, pair.contract) == (0.0, (1.0, 1.0), "")


def test_what_differs_stands_first_and_networks_are_measured(tmp_path: Path) -> None:
    one = save(tmp_path / "a", id="a", training={"seed": 0, "clip": 0.2}, metrics={"steps": 5.0})
    two = save(tmp_path / "b", id="b", seed=1, training={"seed": 7, "clip": 0.2}, metrics={"steps": 5.0})
    found = compare([one, two], [[verdict("r")], []])
    names = [(row.section, row.name) for row in found.rows if row.differs]
    assert names == [(row.section, row.name) for row in found.rows][: len(names)]
    assert ("training", "seed") in names and ("gates", "viable on s") in names
    assert ("training", "clip") not in names
    [pair] = found.pairs
    assert pair.weights_apart is not None and pair.weights_apart > 0.5
    assert pair.equal_actions is not None and all(0 <= share < 1 for share in pair.equal_actions)


def test_other_markets_of_the_same_number_are_a_difference(tmp_path: Path) -> None:
    session = {"id": "s", "checksum": "0", "markets": 1}
    one = save(tmp_path / "a", sessions=[session | {"tickers": ["A"]}])
    two = save(tmp_path / "b", sessions=[session | {"tickers": ["B"]}])
    assert [row.name for row in compare([one, two], [[], []]).rows if row.differs] == ["0.tickers"]


def test_models_of_other_contracts_are_compared_in_words_alone(tmp_path: Path) -> None:
    one, two = save(tmp_path / "a", id="a"), save(tmp_path / "b", id="b", seen="obs52")
    [pair] = compare([one, two], [[], []]).pairs
    assert pair.equal_actions is None and pair.weights_apart is None
    assert pair.contract.startswith("observation: 54 entries in the first and 52 in the second; entry 9: ")


def test_networks_of_other_shapes_are_compared_by_what_they_decide(tmp_path: Path) -> None:
    one, two = save(tmp_path / "a", id="a"), save(tmp_path / "b", id="b", hidden=(8, 8))
    [pair] = compare([one, two], [[], []]).pairs
    assert pair.weights_apart is None and pair.equal_actions is not None


def test_one_model_is_nothing_to_compare(tmp_path: Path) -> None:
    save(tmp_path / "a")
    with pytest.raises(UsageError, match="Name two or more"):
        compare([load_bundle(tmp_path / "a")], [[]])
