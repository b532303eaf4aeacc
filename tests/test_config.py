"""Settings: precedence, sources, refusals."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray import config
from kalshi_ray.errors import ConfigError


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    hidden: tuple[int, ...] = (256, 256, 128)  # width of each layer


class Train(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to train."""

    lr: float = 1e-4  # learning rate
    #                   of the optimiser

    # which algorithm
    algorithm: Literal["ppo", "dqn"] = "ppo"
    steps: Annotated[int, msgspec.Meta(ge=0, description="environment steps")] = 1_000
    sessions: list[str] = []
    seed: int | None = None
    masks: bool = True
    network: Network = Network()


class Market(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    decision_ms: int = 250  # between two decisions
    lifetime_s: int = 30  # of a resting order

    def __post_init__(self) -> None:
        if self.decision_ms <= 0:
            raise ValueError(f"decision_ms is {self.decision_ms}, expected a positive number")


class Root(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    env: Market = Market()
    train: Train = Train()


def load(
    toml: str = "", environ: dict[str, str] | None = None, options: list[tuple[str, str]] | None = None, *, at: Path
) -> config.Loaded[Root]:
    path = at / "settings.toml"
    path.write_text(toml)
    return config.load(Root, path=path, environ=environ or {}, options=options or [])


def test_without_any_source_every_value_is_its_default() -> None:
    loaded = config.load(Root, environ={})
    assert loaded.value == Root()
    assert loaded.sources() == {}


def test_option_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    toml = "[env]\ndecision_ms = 100\nlifetime_s = 10\n[train]\nlr = 0.5\n"
    environ = {"KALSHI_RAY_ENV__DECISION_MS": "200", "KALSHI_RAY_ENV__LIFETIME_S": "20"}
    loaded = load(toml, environ, [("env.decision_ms", "300")], at=tmp_path)
    assert (loaded.value.env.decision_ms, loaded.value.env.lifetime_s, loaded.value.train.lr) == (300, 20, 0.5)
    assert loaded.sources() == {
        "env.decision_ms": "--env.decision_ms",
        "env.lifetime_s": "KALSHI_RAY_ENV__LIFETIME_S",
        "train.lr": str(tmp_path / "settings.toml"),
    }


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("train.lr", "3e-4", 3e-4),
        ("train.algorithm", "dqn", "dqn"),
        ("train.sessions", "6,7, 8", ["6", "7", "8"]),
        ("train.sessions", '["a,b"]', ["a,b"]),
        ("train.seed", "7", 7),
        ("train.seed", "none", None),
        ("train.masks", "false", False),
        ("train.network.hidden", "64,64", (64, 64)),
    ],
)
def test_text_is_read_as_the_type_of_the_field(key: str, text: str, expected: object) -> None:
    loaded = config.load(Root, environ={}, options=[(key, text)])
    value: object = loaded.value
    for name in key.split("."):
        value = getattr(value, name)
    assert value == expected


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[env]\ndecision_m = 1", ["unknown setting env.decision_m", "env.decision_ms"]),
        ("[evn]\ndecision_ms = 1", ["unknown setting evn", "env"]),
        ("env = 3", ["env", "section"]),
        ("[env]\ndecision_ms = 'fast'", ["env.decision_ms", "'fast'", "int", "settings.toml"]),
        ("[env]\ndecision_ms = 1.5", ["env.decision_ms", "1.5", "int"]),
        ("[train]\nsteps = -1", ["train.steps", "-1", ">= 0"]),
        ("[train]\nalgorithm = 'a2c'", ["train.algorithm", "'a2c'", "ppo, dqn"]),
        ("[train.network]\nwidth = 3", ["train.network.width"]),
        ("[env]\ndecision_ms = 0", ["env", "positive"]),
        ("[env\n", ["not TOML"]),
    ],
)
def test_a_bad_file_is_refused_with_what_came_and_what_was_expected(
    toml: str, words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(toml, at=tmp_path)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_file_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"cannot read the settings file /nowhere\.toml"):
        config.load(Root, path="/nowhere.toml", environ={})


@pytest.mark.parametrize(
    "name", ["KALSHI_RAY_ENV__DECISION", "KALSHI_RAY_ENV_DECISION_MS", "KALSHI_RAY_EVN__DECISION_MS"]
)
def test_a_misspelt_variable_is_refused_with_the_right_name(name: str) -> None:
    with pytest.raises(ConfigError, match="KALSHI_RAY_ENV__DECISION_MS"):
        config.load(Root, environ={name: "100"})


def test_a_misspelt_option_is_refused_with_the_right_key() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean train\.steps"):
        config.load(Root, environ={}, options=[("train.stepz", "1")])


def test_a_key_in_the_wrong_section_is_pointed_to_the_right_one() -> None:
    with pytest.raises(ConfigError, match=r"env\.decision_ms"):
        config.load(Root, environ={}, options=[("train.decision_ms", "1")])


def test_variables_of_other_programs_are_left_alone() -> None:
    assert config.load(Root, environ={"KALSHI_RAY_RECORDED": "/x", "HOME": "/"}).sources() == {}


def test_the_meaning_of_a_field_is_the_comment_beside_it() -> None:
    meanings = {leaf.key: leaf.meaning for leaf in config.leaves(Root)}
    assert meanings["train.lr"] == "learning rate of the optimiser"
    assert meanings["train.algorithm"] == "which algorithm"
    assert meanings["train.steps"] == "environment steps"
    assert meanings["train.network.hidden"] == "width of each layer"
    assert meanings["train.masks"] == ""


def test_a_comment_beside_the_next_field_is_not_of_this_one() -> None:
    meanings = {leaf.key: leaf.meaning for leaf in config.leaves(Root)}
    assert (meanings["env.decision_ms"], meanings["env.lifetime_s"]) == ("between two decisions", "of a resting order")


def test_the_template_changes_nothing_until_it_is_edited(tmp_path: Path) -> None:
    text = config.template(Root)
    assert load(text, at=tmp_path).sources() == {}


def test_the_template_uncommented_gives_the_defaults(tmp_path: Path) -> None:
    lines = [line.removeprefix("# ") for line in config.template(Root).splitlines()[1:] if "unset" not in line]
    assert tomllib.loads("\n".join(lines))["train"]["network"]["hidden"] == [256, 256, 128]
    assert load("\n".join(lines), at=tmp_path).value == Root()


@given(
    st.one_of(st.booleans(), st.integers(), st.text(), st.lists(st.integers()), st.dictionaries(st.text(), st.text()))
)
def test_toml_text_is_read_back_as_the_same_value(value: object) -> None:
    assert tomllib.loads(f"x = {config.toml_text(value)}")["x"] == value


def test_options_of_a_job_are_dotted_keys_with_their_text() -> None:
    given = ["--env.entry_ms", "50", "--train.steps=5", "--env.decision_ms=-1", "--train.network="]
    assert config.options_of(given) == [
        ("env.entry_ms", "50"),
        ("train.steps", "5"),
        ("env.decision_ms", "-1"),
        ("train.network", ""),
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--train.steps"], "--train.steps needs a value"),
        (["--train.steps", "--env.entry_ms", "50"], "--train.steps needs a value"),
        (["five"], "'five' is no option"),
        (["--steps", "5"], "'--steps' is no option"),
    ],
)
def test_an_option_of_a_job_without_a_value_or_a_section_is_refused(given: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.options_of(given)
