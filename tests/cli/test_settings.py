"""The sections of the settings: named once, typed as declared, and honest about library defaults."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from kalshi_ray import config
from kalshi_ray.cli import settings as sections
from kalshi_ray.cli.app import run
from kalshi_ray.cli.defaults import LIBRARY_DEFAULTS, RLLIB, RLLIB_MODEL
from kalshi_ray.cli.settings import SECTIONS, AnalysisOptions, section_type, settings_type


def test_every_section_has_the_type_that_commands_are_checked_against() -> None:
    tree = ast.parse(Path(sections.__file__).read_text(encoding="utf-8"))
    [declared] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    typed = {
        n.target.id: ast.unparse(n.annotation)
        for n in declared.body
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
    }
    assert typed == {name: target.partition(":")[2] for name, target in SECTIONS.items()}


@pytest.mark.parametrize("name", SECTIONS)
def test_every_setting_says_what_it_means(name: str) -> None:
    leaves = list(config.leaves(settings_type([name])))
    silent = [leaf.key for leaf in leaves if not leaf.meaning]
    assert len(silent) <= len(leaves) // 2, silent


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_refuses_unknown_keys(name: str) -> None:
    assert section_type(name).__struct_config__.forbid_unknown_fields
    assert section_type(name).__struct_config__.frozen


def test_analysis_options_are_those_of_the_analysis() -> None:
    from kalshi_ray.data.analysis import AnalysisSettings

    ours, theirs = AnalysisOptions(), AnalysisSettings()
    assert all(getattr(ours, name) == getattr(theirs, name) for name in AnalysisOptions.__struct_fields__)


def test_a_quickstart_file_is_taken_by_every_command_that_reads_settings() -> None:
    for path in sorted((Path(__file__).parents[2] / "jobs").glob("*.toml")):
        config.load(settings_type(list(SECTIONS)), path=path, environ={}, others=("phases",))


def test_library_defaults_show_what_is_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "train", "--train.preset", "documents"]) == 0
    table = capsys.readouterr().out.partition("Library defaults")[2]
    assert "num_epochs" in table
    assert run(["config", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["library_defaults"][0]["library"] == RLLIB


def test_the_documents_preset_is_what_the_documents_ask_for() -> None:
    numbers = section_type("train")(preset="documents").resolved()  # type: ignore[attr-defined]
    for default in LIBRARY_DEFAULTS:
        if default.setting.startswith("train.") and default.library == RLLIB:
            assert getattr(numbers, default.setting.partition(".")[2]) == default.documents, default.option


@pytest.mark.ray
def test_library_defaults_are_those_of_the_library() -> None:
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

    found = {RLLIB: PPOConfig(), RLLIB_MODEL: DefaultModelConfig()}
    for default in LIBRARY_DEFAULTS:
        assert getattr(found[default.library], default.option) == default.default, default.option
