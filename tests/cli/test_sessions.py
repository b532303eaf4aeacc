"""The commands on a small generated session: what they print, and what they refuse."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from kalshi_ray.cli.app import run
from kalshi_ray.env import checks
from kalshi_ray.errors import ContractError

SMALL = ["--regime", "planted", "--markets", "4", "--hours", "0.05", "--seed", "3"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the session `demo`: four markets of three minutes."""
    folder = tmp_path_factory.mktemp("store")
    assert run(["sessions", "synth", "demo", "--store", str(folder), *SMALL, "--json"]) == 0
    return folder


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str], store: Path) -> Any:
    """Run a command on the store with --json and give what it printed."""
    capsys.readouterr()

    def ask(*words: str, code: int = 0) -> Any:
        assert run([*words, "--store", str(store), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return ask


def test_list_shows_counted_rows(answer: Any) -> None:
    [session] = answer("sessions", "list")["sessions"]
    assert (session["id"], session["state"], session["manifest"]["markets"]) == ("demo", "finished", 4)
    assert session["rows"] == session["manifest"]["updates"] > 1_000


def test_a_pipe_gets_lines_without_blanks_at_their_ends(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["sessions", "list", "--store", str(store)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("demo     finished  synthetic        4")
    assert [line for line in lines if line != line.rstrip()] == []


def test_the_same_settings_make_the_same_session(answer: Any, store: Path) -> None:
    again = answer("sessions", "synth", "again", *SMALL)
    first = answer("sessions", "list")["sessions"][-1]["manifest"]
    assert again["files"] == first["files"]
    assert answer("sessions", "list")["sessions"][0]["id"] == "again"
    assert run(["sessions", "delete", "again", "--rows", str(again["updates"]), "--store", str(store)]) == 0


def test_analyze_gives_every_market_and_the_reason_for_each_left_out(answer: Any, store: Path, tmp_path: Path) -> None:
    page = tmp_path / "deep" / "page.html"
    report = answer("sessions", "analyze", "demo", "--edge", "--html", str(page), "--selection.min_trades=9999")
    assert len(report["markets"]) == 4
    assert {line["ticker"] for line in report["rejected"]} == {m["ticker"] for m in report["markets"]}
    assert report["edge"] is not None
    assert page.read_text().startswith("<!doctype html>")


def test_validate_finds_nothing_wrong_in_a_generated_session(answer: Any) -> None:
    assert answer("sessions", "validate", "demo")["is_valid"] is True


def test_validate_exits_with_1_on_a_damaged_file(answer: Any, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = answer("sessions", "synth", "broken", *SMALL)
    path = next((store / "sessions" / "broken" / "updates").glob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert run(["sessions", "validate", "broken", "--store", str(store)]) == 1
    streams = capsys.readouterr()
    assert "checksum" in streams.out
    assert streams.err.startswith("error: session broken has errors")
    assert run(["sessions", "delete", "broken", "--rows", str(made["updates"]), "--store", str(store)]) == 0


def test_view_shows_the_ladder_at_a_time(answer: Any) -> None:
    manifest = answer("sessions", "list")["sessions"][0]["manifest"]
    report = answer("sessions", "analyze", "demo")
    ticker = report["markets"][0]["ticker"]
    shown = answer("sessions", "view", "demo", "--market", ticker)
    assert shown["ladder"]
    busiest = max(report["markets"], key=lambda market: market["updates"])
    assert answer("sessions", "view", "demo")["ticker"] == busiest["ticker"]
    assert run(["sessions", "view", "demo", "--market", ticker, "--at", "yesterday"]) == 2
    early = answer("sessions", "view", "demo", "--market", ticker, "--levels", "2")
    assert len(early["prints"]) <= 2 < manifest["updates"]


def test_a_time_in_any_zone_is_the_same_moment(answer: Any) -> None:
    first = answer("sessions", "view", "demo")
    ns = (first["first_ns"] + first["last_ns"]) // 2 // 1_000_000_000 * 1_000_000_000
    moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC)
    east, west = (moment.astimezone(timezone(timedelta(hours=h))).isoformat() for h in (3, -5))
    naive = moment.replace(tzinfo=None).isoformat()
    found = [answer("sessions", "view", "demo", "--at", at) for at in (str(ns), naive, f"{naive}Z", east, west)]
    assert {one["at_ns"] for one in found} == {ns}


@pytest.mark.parametrize(
    "words", ["--at yesterday", "--at 2026-13-01", "--at 99999999999999999999999", "--levels 0", "--levels -3"]
)
def test_a_time_or_a_number_of_levels_that_cannot_be_is_refused(
    words: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sessions", "view", "demo", *words.split(), "--store", str(store)]) == 2
    streams = capsys.readouterr()
    assert (streams.out, len(streams.err.splitlines())) == ("", 1)


def test_an_export_makes_its_folder_and_is_never_a_stream(
    answer: Any, tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a folder" / "of mine" / "demo.csv"
    assert answer("sessions", "export", "demo", str(path))["file"] == str(path)
    assert path.is_file()
    assert run(["sessions", "export", "demo", "-", "--store", str(store)]) == 2
    assert run(["sessions", "export", "demo", str(path / "below"), "--store", str(store)]) == 2
    assert "is a file, not standard output" in capsys.readouterr().err


def test_export_writes_every_row_and_frames_come_back(answer: Any, tmp_path: Path, store: Path) -> None:
    rows = answer("sessions", "export", "demo", str(tmp_path / "demo.csv"))["rows"]
    assert len((tmp_path / "demo.csv").read_text().splitlines()) == rows + 1
    frames = tmp_path / "demo.jsonl"
    answer("sessions", "export", "demo", str(frames), "--format", "jsonl-frames")
    back = answer("sessions", "import", "back", "--frames", str(frames), "--frames.use_yes_price", "true")
    assert back["updates"] == rows
    assert run(["sessions", "delete", "back", "--rows", str(rows), "--store", str(store)]) == 0


def test_import_without_files_is_refused(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    assert run(["sessions", "import", "x", "--store", str(store)]) == 2
    assert "nothing to import" in capsys.readouterr().err
    assert run(["sessions", "import", "x", "--quotes.bid", "b", "--store", str(store)]) == 2
    assert "--quotes FILE" in capsys.readouterr().err
    assert run(["sessions", "import", "x", "--frames", "none-*.jsonl", "--store", str(store)]) == 2
    assert "no file none-*.jsonl" in capsys.readouterr().err


def test_a_pattern_that_the_shell_has_expanded_is_told_from_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sessions", "import", "x", "--quotes", "1.csv", "2.csv", "3.csv"]) == 2
    assert "2.csv, 3.csv follow without an option. Put a pattern in quotes" in capsys.readouterr().err
    assert run(["sessions", "import", "x", "--frames", "1.jsonl", "2.jsonl"]) == 2
    assert "2.jsonl follows without an option" in (said := capsys.readouterr().err)
    assert "repeat the option for each file" in said


def test_a_misspelt_import_option_is_refused(capsys: pytest.CaptureFixture[str], store: Path, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("a,b\n")
    line = ["sessions", "import", "x", "--quotes", str(tmp_path / "q.csv"), "--quotes.bidd", "b", "--store", str(store)]
    assert run(line) == 2
    assert "Did you mean quotes.bid" in capsys.readouterr().err


def test_delete_asks_for_the_number_of_rows(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    assert run(["sessions", "delete", "demo", "--store", str(store)]) == 2
    assert "--rows" in capsys.readouterr().err
    assert run(["sessions", "delete", "demo", "--rows", "1", "--store", str(store)]) == 2
    assert "nothing was deleted" in capsys.readouterr().err


def test_an_unknown_session_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    assert run(["sessions", "analyze", "nope", "--store", str(store)]) == 2
    assert "Known: demo" in capsys.readouterr().err


def test_a_second_session_of_one_name_is_refused(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    assert run(["sessions", "synth", "demo", "--store", str(store), *SMALL]) == 2
    assert "demo" in capsys.readouterr().err


def test_the_environment_keeps_its_contract(answer: Any) -> None:
    found = answer("env", "check", "demo", "--steps", "400", "--env.max_decisions", "50")["checks"]
    assert [check["name"] for check in found if check["state"] == "failed"] == []
    skipped = {check["name"] for check in found if check["state"] == "skipped"}
    assert skipped <= {"stable-baselines3"}


def test_a_broken_contract_exits_with_1(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def breach(bench: object) -> str:
        raise ContractError("money from nowhere")

    monkeypatch.setattr(checks, "CHECKS", {"money": breach})
    found = answer("env", "check", "demo", code=1)
    assert found["checks"][0]["detail"] == "ContractError: money from nowhere"


def test_describe_names_every_feature_and_action(answer: Any) -> None:
    tables = answer("env", "describe", "--env.observation", "obs-x", "--env.action_space", "priced7")
    assert len(tables["actions"]) == 7
    assert {"index", "feature", "unit", "formula", "range"} == set(tables["features"][0])


def test_trace_gives_cash_that_can_be_checked_by_hand(answer: Any) -> None:
    found = answer("env", "trace", "demo", "--policy", "random?trade_probability=0.5", "--steps", "40", "--seed", "1")
    cash, fills = 100.0, 0
    held = 0.0
    for step in found["steps"]:
        assert step["cash_dollars"] == pytest.approx(cash, abs=1e-9)
        for fill in step["fills"]:
            sign = 1.0 if fill["side"] == "bought YES" else -1.0
            closing = min(fill["contracts"], max(0.0, -held * sign))
            paid = fill["cents"] / 100 if sign > 0 else 1 - fill["cents"] / 100
            cash += closing * (1 - paid) - (fill["contracts"] - closing) * paid - fill["fee_dollars"]
            held += sign * fill["contracts"]
            assert (fill["cash_dollars"], fill["position"]) == (pytest.approx(cash, abs=1e-9), pytest.approx(held))
            fills += 1
    assert fills > 3


JUDGE = ("evaluate", "--part", "all", "--evaluation.select", "none", "--env.position_limit", "50")


def test_evaluate_sets_baselines_beside_the_oracle(answer: Any, tmp_path: Path) -> None:
    report = answer(*JUDGE, "--session", "demo", "--report", str(tmp_path), "--policy", "take-imbalance", "--no-gates")
    assert {"take-imbalance", "hold", "random", "join-best", "oracle"} <= {p["name"] for p in report["policies"]}
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "trades.csv").is_file()


def test_a_judged_policy_is_no_baseline_beside_itself(answer: Any, tmp_path: Path) -> None:
    line = [*JUDGE, "--session", "demo", "--report", str(tmp_path), "--no-gates"]
    report = answer(*line, "--policy", "hold", "--baselines", "hold,random", "--evaluation.oracle", "false")
    found = [(p["name"], p["role"]) for p in report["policies"] if p["role"] != "control"]
    assert found == [("hold", "judged"), ("random", "baseline")]


@pytest.mark.parametrize(
    ("options", "code"), [([], 3), (["--gate", "viable"], 3), (["--gate", "none"], 0), (["--no-gates"], 0)]
)
def test_evaluate_exits_with_3_where_a_gate_of_a_judged_policy_is_closed(
    answer: Any, tmp_path: Path, options: list[str], code: int
) -> None:
    line = [*JUDGE, "--session", "demo", "--report", str(tmp_path), "--policy", "hold", *options]
    assert answer(*line, code=code)["gates_open"] is False


def test_without_a_policy_to_judge_no_gate_is_asked(answer: Any, tmp_path: Path) -> None:
    assert answer(*JUDGE, "--session", "demo", "--report", str(tmp_path))["gates_open"] is False


def test_as_many_market_episodes_are_judged_as_were_asked_for(answer: Any, tmp_path: Path) -> None:
    found = answer(*JUDGE, "--session", "demo", "--report", str(tmp_path), "--num-episodes", "2")
    assert found["data"]["markets"] == 2 and "the first 2 of" in found["data"]["selection"]


def test_several_sessions_give_a_folder_each_and_a_table_across_them(answer: Any, store: Path, tmp_path: Path) -> None:
    answer("sessions", "synth", "other", *SMALL[:-1], "9")
    line = [*JUDGE, "--session", "demo", "--sessions", "other,demo", "--report", str(tmp_path)]
    found = answer(*line, "--policy", "take-imbalance", "--no-gates")
    assert list(found["sessions"]) == ["demo", "other"]
    assert [(row["session"], row["home"]) for row in found["across"]["rows"]] == [("demo", False), ("other", False)]
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written >= {"sessions.html", "sessions.json", "demo/report.html", "other/trades.csv"}


def test_an_unknown_session_among_several_costs_no_work(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*JUDGE, "--sessions", "demo,nope", "--store", str(store), "--report", str(tmp_path)]) == 2
    assert "nope" in capsys.readouterr().err and not list(tmp_path.iterdir())
    assert run([*JUDGE, "--session", ",", "--store", str(store)]) == 2
    assert "no session to judge on" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_failure(monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Closed())
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert run(["sessions", "list", "--store", str(store)]) == 0


def test_an_empty_registry_lists_nothing_and_says_what_to_type(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["models", "list", "--registry", str(tmp_path)]) == 0
    assert "kalshi-ray models register" in capsys.readouterr().out
    assert run(["models", "show", "champion", "--registry", str(tmp_path)]) == 2
    assert "champion" in capsys.readouterr().err


def test_synth_compares_itself_with_recordings_and_refuses_a_folder_without_any(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sessions", "synth", "one", "--store", str(tmp_path / "store"), "--markets", "12", "--hours", "0.2"]
    assert run([*words, "--compare", str(tmp_path)]) == 2
    assert "no recorded data" in capsys.readouterr().err and not (tmp_path / "store").exists()
    assert run([*words, "--compare", str(recorded)]) == 0
    assert "| spread by time, mean | ¢ | 3.35 |" in capsys.readouterr().out
