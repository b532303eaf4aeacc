"""`kalshi-ray doctor`: every state of everything it looks at, one line each, the remedy, and the exit code."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from email.utils import formatdate
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kalshi_ray.cli.app import run
from kalshi_ray.core import jit
from kalshi_ray.exchange.settings import ExchangeSettings, ReadyAccount, ReadyFile
from kalshi_ray.ops import doctor, doctor_services
from kalshi_ray.ops.doctor import GIB, Check, State
from kalshi_ray.wire import bodies
from kalshi_ray.wire.listing import ExchangeStatus
from kalshi_ray.wire.refusals import write_error
from kalshi_ray.wire.trading import Balance, Refused
from tests.exchange.keys import KEY_ID, ed25519_key, pem_of
from tests.exchange.loopback import Asked, Says, in_a_thread

NAMES = ["python", "machine", "packages", "tested set", "kernels", "store", "disk", "exchange", "ray"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path


def states(checks: list[Check]) -> dict[str, State]:
    return {check.name: check.state for check in checks}


def test_a_fresh_machine_has_a_line_for_everything_and_fails_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[6:].split("  ")[0].strip() for line in lines] == NAMES
    assert all(line[:4].strip() in ("ok", "warn") for line in lines)
    assert all(". " in line for line in lines if line.startswith("warn"))  # the remedy


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is True and [check["name"] for check in said["checks"]] == NAMES


def test_what_fails_ends_with_1_and_the_rest_is_still_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--exchange.key_id", "k", "--exchange.private_key_file", "nowhere.pem", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is False
    failed = [check for check in said["checks"] if check["state"] == "FAIL"]
    assert [check["name"] for check in failed] == ["exchange"]
    assert [check["name"] for check in said["checks"]] == NAMES


def test_the_live_exchange_is_not_even_looked_at_unless_allowed() -> None:
    (check,) = doctor.checked("exchange", lambda: doctor_services.exchange(ExchangeSettings(environment="live")))
    assert check.state == "FAIL" and "ALLOW_LIVE=yes" in check.found


def test_a_package_that_is_missing_or_too_old_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        metadata,
        "requires",
        lambda _: [
            "numpy>=9999",
            "no-such-package>=1",
            'only-elsewhere>=1; sys_platform == "nowhere"',
            'x; extra == "t"',
        ],
    )
    (check,) = doctor.packages(tmp_path / "none.txt")
    assert check.state == "FAIL" and "no-such-package is missing" in check.found
    assert "numpy" in check.found and ">=9999 needed" in check.found and "elsewhere" not in check.found


def test_another_version_than_the_tested_one_is_a_warning(tmp_path: Path) -> None:
    pins = tmp_path / "constraints.txt"
    pins.write_text(f"# tested\nmsgspec==0.0.1\nnumpy=={metadata.version('numpy')}\nnot-installed==1.0\n")
    *_, check = doctor.packages(pins)
    assert check.state == "warn" and "msgspec" in check.found and "numpy" not in check.found
    pins.write_text(f"numpy=={metadata.version('numpy')}\n")
    assert states(list(doctor.packages(pins)))["tested set"] == "ok"


def test_a_broken_library_is_a_finding_not_the_end() -> None:
    def broken() -> Check:
        raise RuntimeError("its shared object does not load")

    (check,) = doctor.checked("numba", broken)
    assert check == Check("numba", "FAIL", "RuntimeError: its shared object does not load")


@pytest.mark.parametrize(("text", "memory"), [("max\n", None), ("1073741824\n", GIB), ("", None)])
def test_memory_is_that_of_the_container(text: str, memory: int | None, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(text)
    whole = doctor.memory_bytes(tmp_path / "none")
    assert doctor.memory_bytes(limit) == (whole if memory is None else min(memory, whole))


@pytest.mark.parametrize(("free", "state"), [(GIB // 2, "FAIL"), (5 * GIB, "warn"), (50 * GIB, "ok")])
def test_little_room_on_the_disk(free: int, state: State, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    found = list(
        doctor.disk({"store": str(tmp_path / "not" / "yet"), "runs": "runs", "registry": "s3://bucket/models"})
    )
    assert [check.state for check in found] == [state]  # one disk, and a URL that is none of ours
    assert f"at {tmp_path}" in found[0].found


def test_a_store_that_cannot_be_written_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "is_writable", lambda _: False)  # root may write anywhere
    assert doctor.store(str(tmp_path)).state == "FAIL"
    monkeypatch.setattr(jit, "COMPILED", True)
    assert doctor.kernels().state == "FAIL"


def test_a_store_says_how_many_sessions_it_holds_and_which_are_of_no_use(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    assert doctor.store(store).state == "warn"
    for name in ("one", "two"):
        assert run(["sessions", "synth", name, "--store", store, "--markets", "4", "--hours", "0.02"]) == 0
    assert doctor.store(store) == Check("store", "ok", f"2 sessions in {store}")
    (tmp_path / "store" / "sessions" / "one" / "session.json").write_text("{")
    check = doctor.store(store)
    assert check.state == "warn" and "one unusable" in check.found


def test_kernels_need_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_: Path) -> Path:
        raise OSError("no folder for compiled kernels is writable")

    monkeypatch.setattr(jit, "COMPILED", True)
    assert doctor.kernels().state == "ok"
    monkeypatch.setattr(jit, "cache_folder", nowhere)
    assert doctor.kernels().state == "FAIL" and "NUMBA_CACHE_DIR" in doctor.kernels().remedy
    monkeypatch.setattr(jit, "COMPILED", False)
    assert doctor.kernels().state == "warn"


def test_which_ray_would_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "started here" in doctor_services.ray("auto", 1).found
    assert doctor_services.ray("auto", 10**9).state == "warn"
    assert "joining 10.0.0.1:6379" in doctor_services.ray("10.0.0.1:6379", 1).found
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    assert "joining 10.0.0.2:6379" in doctor_services.ray("auto", 1).found
    assert "started here" in doctor_services.ray("local", 1).found


def exchange(tmp_path: Path, *, mode: int = 0o600, with_key: bool = True, **says: Any) -> list[Check]:
    """What is found at an exchange that answers so: by path, or a clock that is `off_s` behind; None: it has none."""
    off_s = says.pop("off_s", 0.0)
    answers = {
        "/exchange/status": Says(body=bodies.write_status(ExchangeStatus(exchange_active=True, trading_active=True))),
        "/portfolio/balance": Says(
            body=bodies.write_balance(Balance(cash=98_018_600, portfolio_value=0, updated_ns=0))
        ),
    } | says.pop("answers", {})

    def handler(asked: Asked) -> Says:
        told = {} if off_s is None else {"date": formatdate(time.time() - off_s, usegmt=True)}
        return replace(answers[asked.path], headers=told)

    key = tmp_path / "key.pem"
    key.write_bytes(pem_of(ed25519_key()))
    key.chmod(mode)
    with in_a_thread(handler) as rest:
        named = {"key_id": KEY_ID, "private_key_file": str(key)} if with_key else {}
        is_silent = any(one.silent for one in answers.values())
        settings = ExchangeSettings(rest_url=rest, timeout_s=0.5 if is_silent else 10.0, **named)  # type: ignore[arg-type]
        return doctor.checked("exchange", lambda: doctor_services.exchange(settings))


def test_an_exchange_that_is_all_there(tmp_path: Path) -> None:
    found = exchange(tmp_path)
    assert states(found) == {"key": "ok", "exchange": "ok", "clock": "ok", "account": "ok"}
    assert found[-1].found == "the key is accepted; cash $98.0186"


def test_without_a_key_the_public_part_is_looked_at(tmp_path: Path) -> None:
    assert states(exchange(tmp_path, with_key=False)) == {"key": "warn", "exchange": "ok", "clock": "ok"}


@pytest.mark.parametrize(("mode", "who"), [(0o640, "group"), (0o644, "everybody")])
def test_a_key_that_others_may_read_is_a_warning(mode: int, who: str, tmp_path: Path) -> None:
    check = exchange(tmp_path, mode=mode)[0]
    assert check.state == "warn" and f"read by {who}" in check.found and check.remedy.startswith("chmod 600")


@pytest.mark.parametrize(("off", "state"), [(0, "ok"), (4, "warn"), (-3_600, "FAIL")])
def test_a_clock_that_is_off(off: float, state: State, tmp_path: Path) -> None:
    found = exchange(tmp_path, off_s=off)
    assert states(found)["clock"] == state


def test_an_exchange_that_tells_no_time_is_a_warning(tmp_path: Path) -> None:
    assert states(exchange(tmp_path, off_s=None))["clock"] == "warn"


@pytest.mark.parametrize(("active", "trading", "said"), [(True, False, "trading paused"), (False, False, "closed")])
@pytest.mark.parametrize("status", [200, 503])
def test_an_exchange_that_does_not_trade_is_a_warning(
    active: bool, trading: bool, said: str, status: int, tmp_path: Path
) -> None:
    body = bodies.write_status(ExchangeStatus(exchange_active=active, trading_active=trading))
    found = exchange(tmp_path, answers={"/exchange/status": Says(status, body)})
    check = next(check for check in found if check.name == "exchange")
    assert check.state == "warn" and said in check.found


def test_a_key_that_the_exchange_refuses_fails(tmp_path: Path) -> None:
    refused = Refused(status=401, code="authentication_error", details="NOT_FOUND")
    found = exchange(tmp_path, answers={"/portfolio/balance": Says(401, write_error(refused))})
    assert states(found)["account"] == "FAIL" and "each environment has keys of its own" in found[-1].found


@pytest.mark.parametrize("says", [Says(500), Says(hang_up=True), Says(silent=True)])
def test_an_exchange_that_does_not_answer_fails(says: Says, tmp_path: Path) -> None:
    found = exchange(tmp_path, answers={"/exchange/status": says})
    assert states(found) == {"key": "ok", "exchange": "FAIL"}


def test_a_simulator_that_is_gone_fails_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(pem_of(ed25519_key()))
    ready = ReadyFile(
        rest="http://127.0.0.1:9/trade-api/v2",
        ws="ws://127.0.0.1:9/trade-api/ws/v2",
        accounts=(ReadyAccount(KEY_ID, "key.pem"),),
    )
    (tmp_path / "simulator.json").write_bytes(msgspec.json.encode(ready))
    found = doctor.checked("exchange", lambda: doctor_services.exchange(ExchangeSettings()))
    assert found[-1].state == "FAIL" and "no connection to 127.0.0.1:9" in found[-1].found
    assert "kalshi-ray simulate" in found[-1].remedy


@pytest.mark.ray
@pytest.mark.slow
def test_ray_is_started_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--start-ray", "--ray.address", "local", "--ray.cpus", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checks"][-1] == {
        "name": "ray starts", "state": "ok", "found": "with 1 CPUs", "remedy": "",
    }  # fmt: skip
