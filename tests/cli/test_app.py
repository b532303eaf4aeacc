"""The command line: exit codes, one line for a mistake, pure JSON, a fast start."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from kalshi_ray.cli import app as cli_app
from kalshi_ray.cli import output
from kalshi_ray.cli.app import hoisted, run
from kalshi_ray.cli.quickstart import _next_commands
from kalshi_ray.errors import GateClosed

COMMAND = [sys.executable, "-c", "import sys; from kalshi_ray.cli import main; main()"]


def test_help_takes_less_than_half_a_second_of_work_where_its_libraries_take_an_eighth() -> None:
    """Processor time, which others on the machine do not lengthen, beside that of what every help of its kind needs:
    a slower machine takes longer for both."""
    libraries = [sys.executable, "-c", "import typer, rich.console, rich.markdown, rich.table"]
    times: list[tuple[float, ...]] = []
    for _ in range(4):  # the first compiles byte code
        used = [_work_of_children()]
        for command in ([*COMMAND, "--help"], libraries):
            subprocess.run(command, capture_output=True, check=True)
            used.append(_work_of_children())
        times.append((used[1] - used[0], used[2] - used[1]))
    ours, theirs = (min(column) for column in zip(*times))
    assert ours < 4 * theirs


def _work_of_children() -> float:
    """Seconds of processor time."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_does_not_import_the_heavy_libraries() -> None:
    code = (
        "import sys; from kalshi_ray.cli.app import run; run(['--help'])\n"
        "print([m for m in ('ray', 'torch', 'numba', 'pyarrow', 'numpy', 'plotly') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_has_help_with_an_example_and_no_type_for_what_takes_no_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words in commands():
        assert run([*words, "--help"]) == 0
        said = capsys.readouterr().out
        assert "Example:" in said, " ".join(words)
        assert "<bool>" not in said, " ".join(words)
    assert (run(["--help"]), run(["sessions", "--help"])) == (0, 0)
    assert "<bool>" not in capsys.readouterr().out


def test_a_wrong_use_exits_with_2_and_one_line_on_standard_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["sessions", "list", "--places.store", str(tmp_path), "--env.decision_ms", "3"]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("error: --env.decision_ms is not used by this command")
    assert streams.err.count("\n") == 1


def test_an_unknown_option_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sessions", "list", "--jsn"]) == 2
    assert "--json" in capsys.readouterr().err


def test_a_closed_gate_exits_with_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli_app, "app", failing(GateClosed("win rate 40 %, needs 45 %")))
    assert run([]) == 3
    assert capsys.readouterr().err == "error: win rate 40 %, needs 45 %\n"


def test_an_unexpected_error_is_one_line_that_names_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_app, "app", failing(ZeroDivisionError("by zero")))
    assert run([]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    path = Path(message.partition("traceback is in ")[2].partition(";")[0])
    assert "ZeroDivisionError: by zero" in path.read_text()
    path.unlink()


def test_debug_shows_the_traceback_of_an_unexpected_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_app, "app", failing(ZeroDivisionError("by zero")))
    assert run(["--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_interruption_ends_without_a_traceback() -> None:
    code = (
        "import os, signal, sys; from kalshi_ray.cli import sessions; from kalshi_ray.cli.app import run\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it\n"
        "sessions._store = lambda *a: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.exit(run(['sessions', 'list']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "stopped\n")


def test_common_options_may_stand_anywhere() -> None:
    line = ["train", "--log-level", "DEBUG", "--steps", "3", "--debug", "--", "--debug"]
    assert hoisted(line) == ["--log-level", "DEBUG", "--debug", "train", "--steps", "3", "--", "--debug"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("sesions list", "no such command 'sesions'. Did you mean 'sessions'? See kalshi-ray --help"),
        ("sessions validate", "missing argument 'SESSION'. See kalshi-ray sessions validate --help"),
        ("sessions list --json true", "got unexpected extra argument(s) (true). See kalshi-ray sessions list --help"),
        ("sessions export a b --format c", "invalid value for '--format': 'c' is not one of 'csv', 'parquet', "),
        ("sessions list --log-level", "--log-level needs a value. Known: DEBUG, INFO, WARNING, ERROR"),
    ],
)
def test_a_line_that_cannot_be_read_is_told_in_a_line_that_names_the_help(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words.split()) == 2
    streams = capsys.readouterr()
    assert streams.err.startswith(f"error: {told}")
    assert (streams.out, len(streams.err.splitlines())) == ("", 1)


def test_a_group_alone_shows_its_commands_and_is_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sessions"]) == 2
    assert "validate" in "".join(capsys.readouterr())


def test_help_is_broken_by_the_terminal_and_not_where_the_source_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert run(["sessions", "compact", "--help"]) == 0
    assert "interrupted, the same command goes on. Frames take" in capsys.readouterr().out


def test_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Exit codes: 0 ok, 1 failed, 2 wrong use, 3 a gate said no, 130 stopped by Ctrl-C." in said


def test_an_unknown_log_level_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sessions", "list", "--log-level", "LOUD"]) == 2
    assert "LOUD" in capsys.readouterr().err


def test_an_empty_store_lists_nothing_and_says_what_to_type(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["sessions", "list", "--store", str(tmp_path)]) == 0
    assert "kalshi-ray sessions synth" in capsys.readouterr().out


def test_json_is_alone_on_standard_output(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["sessions", "list", "--store", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"store": str(tmp_path), "sessions": []}


def test_a_setting_comes_from_option_variable_and_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[places]\nstore = "from-file"\n')
    line = ["config", "show", "places", "--json", "--config", str(path)]

    def in_force(*more: str) -> tuple[str, str]:
        assert run([*line, *more]) == 0
        setting = json.loads(capsys.readouterr().out)["settings"][0]
        return setting["value"], setting["source"]

    assert in_force() == ("from-file", str(path))
    monkeypatch.setenv("KALSHI_RAY_PLACES__STORE", "from-variable")
    assert in_force() == ("from-variable", "KALSHI_RAY_PLACES__STORE")
    assert in_force("--places.store=from-option") == ("from-option", "--places.store")


def test_an_option_without_its_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "--places.store"]) == 2
    assert run(["config", "show", "--places.store", "--json"]) == 2
    assert "--places.store needs a value" in capsys.readouterr().err


def test_config_init_writes_a_file_that_config_show_takes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "kalshi-ray.toml"
    assert run(["config", "init", str(path)]) == 0
    assert run(["config", "show", "--config", str(path)]) == 0
    assert run(["config", "init", str(path)]) == 2, "an existing file is kept"
    capsys.readouterr()
    assert run(["config", "init", str(path / "below.toml")]) == 2
    assert capsys.readouterr().err.startswith("error: cannot make the folder of")


def test_progress_is_silent_where_standard_error_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress_bar() as progress:
        progress("building", 1, 2)
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo terminal")
def test_progress_shows_its_label_on_a_terminal() -> None:
    code = "from kalshi_ray.cli.output import progress_bar\nwith progress_bar() as p: p('building', 2, 2)"
    primary, secondary = os.openpty()
    environ = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    subprocess.run([sys.executable, "-c", code], stderr=secondary, check=True, env=environ)
    os.close(secondary)
    assert b"building" in os.read(primary, 65536)
    os.close(primary)


def test_the_quickstart_says_commands_that_work_where_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "kalshi-ray"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bin/kalshi-ray", "quickstart"])

    def said() -> list[str]:
        lines = _next_commands(Path("my folder"), tmp_path / "jobs" / "q.toml", Path("my folder/r.html"))
        return [line.strip() for line in lines if " models show " in line or " env trace " in line]

    monkeypatch.setenv("PATH", "/nowhere")
    show, trace = said()
    assert show == "bin/kalshi-ray models show challenger --registry 'my folder/registry'"
    assert trace.endswith("--store 'my folder/store' --registry 'my folder/registry' --config jobs/q.toml")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert said()[0].startswith("kalshi-ray models")


def failing(problem: Exception) -> object:
    def fail(**_: object) -> None:
        raise problem

    return fail


def commands() -> list[list[str]]:
    """The words of every command that runs something."""
    found: list[list[str]] = []

    def walk(node: object, words: list[str]) -> None:
        children = getattr(node, "commands", None)
        if children is None:
            found.append(words)
        for name, child in (children or {}).items():
            walk(child, [*words, name])

    walk(typer.main.get_command(cli_app.app), [])
    return found


@pytest.mark.parametrize("words", ["env describe", "config show env --json"])
def test_a_disk_without_room_for_the_output_is_one_clear_line(words: str) -> None:
    done = _in_shell(f"{words} >/dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output cannot be written: No space left on device")
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_who_has_seen_enough_is_no_failure() -> None:
    done = _in_shell("config show env --json | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, "")


def _in_shell(words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from kalshi_ray.cli import main; main()"]
    line = ["bash", "-c", f'"$0" "$1" "$2" {words}', *program]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
