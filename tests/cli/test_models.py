"""`kalshi-ray models`: every command, its exit codes, and what it says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kalshi_ray.cli.app import run
from kalshi_ray.evaluate.report import to_json
from kalshi_ray.registry import TestUse, open_registry
from kalshi_ray.registry.bundle import WEIGHTS
from tests.registry.bundles import save
from tests.registry.reports import judged


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the registry at its usual place."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(name: str, **changes: Any) -> None:
    save(Path(name), id=name, **changes)
    assert run(["models", "register", name]) == 0


def report(name: str = "one", **gates: Any) -> str:
    path = Path(f"report-{name}-{len(list(Path().glob('report-*')))}.json")
    path.write_bytes(to_json(judged(name=name, **gates)))
    return str(path)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The JSON that a command prints."""
    capsys.readouterr()
    assert run(["models", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_empty_registry_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["list"], ["check"], ["uses"]):
        assert run(["models", *words]) == 0
        assert "Next: kalshi-ray" in capsys.readouterr().out


def test_promotion_moves_through_open_gates_and_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    add("one")
    assert run(["models", "promote", "one", "--reason", "it holds up", "--report", report()]) == 0
    out = capsys.readouterr().out
    assert "champion: nothing → one, its gates are open" in out and "rollback --alias champion" in out
    assert run(["models", "list"]) == 0
    assert "production" in capsys.readouterr().out
    assert run(["models", "show", "champion"]) == 0
    shown = capsys.readouterr().out
    assert "production open" in shown and "it holds up" in shown and "bytes, fingerprints and probe agree" in shown


def test_a_closed_gate_exits_with_3_and_every_reason(capsys: pytest.CaptureFixture[str]) -> None:
    add("one")
    line = ["models", "promote", "one", "--reason", "r", "--report", report(production=False)]
    assert run(line) == 3
    assert "win rate is 40 %, expected above 52 %" in capsys.readouterr().err
    assert run([*line, "--alias", "challenger"]) == 0
    assert run([*line, "--force"]) == 0
    assert "champion: nothing → one, forced" in capsys.readouterr().out
    assert run(["models", "promote", "one", "--alias", "x", "--reason", "r"]) == 2
    assert run(["models", "promote", "one", "--report", report()]) == 2
    assert "needs a reason" in capsys.readouterr().err


def test_a_report_may_be_named_by_its_folder_and_a_missing_one_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    add("one")
    Path("x").mkdir()
    line = ["models", "promote", "one", "--reason", "r", "--report", "x"]
    assert run(line) == 2
    assert f"cannot read {Path('x/report.json')}" in capsys.readouterr().err
    Path("x/report.json").write_bytes(to_json(judged()))
    assert run(line) == 0


def test_which_alias_needs_the_production_gate_is_a_setting() -> None:
    add("one")
    line = ["models", "promote", "one", "--reason", "r", "--report", report(production=False)]
    assert run([*line, "--promotion.production", '["live"]']) == 0
    assert run([*line, "--alias", "live", "--promotion.production", '["live"]']) == 3


def test_rolling_back_goes_back_and_further(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two", "three"):
        add(name)
        assert run(["models", "promote", name, "--reason", "r", "--report", report(name)]) == 0
    for model in ("two", "one"):
        capsys.readouterr()
        assert run(["models", "rollback", "--reason", "worse"]) == 0
        assert f"→ {model}. Next" in capsys.readouterr().out
    assert run(["models", "rollback", "--reason", "worse"]) == 2
    assert "no earlier model" in capsys.readouterr().err


def test_register_names_no_champion_and_keeps_that_no_gate_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    save(Path("one"), id="one")
    assert run(["models", "register", "one", "--alias", "champion", "--reason", "r"]) == 2
    assert "reached through gates alone" in capsys.readouterr().err
    assert run(["models", "register", "one", "--alias", "challenger"]) == 2
    assert open_registry("registry").ids() == []
    assert run(["models", "register", "one", "--alias", "challenger", "--reason", "r"]) == 0
    [move] = open_registry("registry").history()
    assert move.forced


def test_check_is_a_table_and_exits_with_1_for_damage(capsys: pytest.CaptureFixture[str]) -> None:
    for name, actions in (("one", "sized21"), ("two", "intent5")):
        add(name, actions=actions)
    capsys.readouterr()
    assert run(["models", "check"]) == 0
    out = capsys.readouterr().out
    assert "21 entries in the bundle and 5 here" in out and "Recommended: none" in out
    found = answer(capsys, "check", "one")
    assert [model["reach"]["ids"] for model in found["models"]] == [21]
    Path("registry/models/two", WEIGHTS).write_bytes(b"")
    assert run(["models", "check"]) == 1
    streams = capsys.readouterr()
    assert "weights.safetensors of bundle two is not what was saved" in streams.out
    assert "1 model cannot be handed out: two" in streams.err
    assert run(["models", "register", "two"]) == 0
    assert run(["models", "check"]) == 0


def test_compare_shows_what_differs_and_all_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    add("one", training={"seed": 1, "clip": 0.2})
    add("two", training={"seed": 2, "clip": 0.2})
    capsys.readouterr()
    assert run(["models", "compare", "one", "two"]) == 0
    out = capsys.readouterr().out
    assert "seed" in out and "clip" not in out and "100.0%" in out
    assert run(["models", "compare", "one", "two", "--all"]) == 0
    assert "clip" in capsys.readouterr().out
    assert answer(capsys, "compare", "one", "two")["pairs"][0]["equal_actions"] == [1.0, 1.0]
    assert run(["models", "compare", "one"]) == 2


def test_a_model_travels_by_file(capsys: pytest.CaptureFixture[str]) -> None:
    add("one")
    assert run(["models", "export", "one", "one.tar"]) == 0
    assert run(["models", "import", "one.tar", "--registry", "other"]) == 0
    assert "imported one: bytes, fingerprints and probe agree" in capsys.readouterr().out
    assert answer(capsys, "import", "one.tar", "--registry", "other") == {"registry": "other", "model": "one"}
    assert run(["models", "export", "one", "one.tar"]) == 2
    os.truncate("one.tar", 4000)
    assert run(["models", "import", "one.tar", "--registry", "third"]) == 1
    assert not open_registry("third").ids()


def test_remove_says_what_would_go_and_does_it_on_yes(capsys: pytest.CaptureFixture[str]) -> None:
    add("one")
    assert run(["models", "remove", "one"]) == 0
    assert "Nothing was done; add --yes" in capsys.readouterr().out and open_registry("registry").ids() == ["one"]
    assert run(["models", "remove", "one", "--yes"]) == 0
    assert open_registry("registry").ids() == []
    assert run(["models", "remove", "one", "--yes"]) == 2


def test_uses_of_test_sets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    registry = open_registry("registry")
    for model in ("one", "two"):
        registry.count_test_use(TestUse(session="highny", checksum="c" * 64, tickers="t" * 16, policies=(model,)))
    assert run(["models", "uses"]) == 0
    assert "one, two" in capsys.readouterr().out
    assert answer(capsys, "uses")["sets"][0]["uses"] == 2


def test_other_versions_are_a_note_and_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    add("one", packages={"ray": "1.0"})
    assert run(["models", "show", "one"]) == 0
    assert "note: trained with ray 1.0, here " in capsys.readouterr().err
    assert answer(capsys, "show", "one")["other_versions"][0].startswith("ray 1.0")
