"""Doctor and exchange commands against the simulator's own server: a trade of two accounts, from the terminal alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kalshi_ray.cli.app import run
from kalshi_ray.exchange.settings import ReadyAccount, ReadyFile
from tests.exchange.keys import ed25519_key, pem_of, rsa_key
from tests.exchange.simulator.serving import ED_ID, RSA_ID, A, make_surface, serving


@pytest.fixture(autouse=True)
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It serves, and its ready file lies where it is looked for."""
    monkeypatch.chdir(tmp_path)
    for name, key in (("rsa.pem", rsa_key()), ("ed.pem", ed25519_key())):
        Path(name).write_bytes(pem_of(key))
        Path(name).chmod(0o600)
    with serving(make_surface(time.time_ns())) as served:
        accounts = (ReadyAccount(RSA_ID, "rsa.pem", 1_000), ReadyAccount(ED_ID, "ed.pem", 1_000))
        ready = ReadyFile(rest=served.rest, ws=served.stream, accounts=accounts, markets=(A,))
        Path("simulator.json").write_bytes(msgspec.json.encode(ready))
        yield


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_doctor_finds_it_in_good_health(capsys: pytest.CaptureFixture[str]) -> None:
    found = {check["name"]: check["state"] for check in answer(capsys, "doctor")["checks"]}
    assert {name: found[name] for name in ("key", "exchange", "clock", "account")} == dict.fromkeys(
        ("key", "exchange", "clock", "account"), "ok"
    )


def test_two_accounts_trade_and_both_see_it(capsys: pytest.CaptureFixture[str]) -> None:
    other = ("--exchange.account", "1")
    rests = answer(capsys, "exchange", "order", A, "buy", "yes", "10", "0.47", "--post-only", "--yes")
    assert (rests["filled"], rests["remaining"]) == ("0.00", "10.00")
    levels = answer(capsys, "exchange", "book", A)["levels"]
    assert {"bid count": "10.00", "price": "0.4700", "ask count": ""} in levels
    takes = answer(capsys, "exchange", "order", A, "buy", "no", "4", "0.53", "--yes", *other)
    assert (takes["filled"], takes["average_price"]) == ("4.00", "0.4700")
    held = [answer(capsys, "exchange", "positions", *words)["positions"][0]["position"] for words in ((), other)]
    assert held == ["4.00", "-4.00"]
    roles = [answer(capsys, "exchange", "fills", *words)["fills"][0]["role"] for words in ((), other)]
    assert roles == ["maker", "taker"]
    assert answer(capsys, "exchange", "cancel", rests["order"])["orders"][0]["cancelled"] == "6.00"
    assert answer(capsys, "exchange", "orders", "--status", "resting") == {"orders": []}


def test_an_order_sent_again_is_the_order_that_stands(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("exchange", "order", A, "buy", "yes", "1", "0.10", "--client-order-id", "mine", "--yes")
    first = answer(capsys, *words)
    assert run([*words]) == 1
    assert "order_already_exists" in capsys.readouterr().err
    assert answer(capsys, *words, "--again")["order"] == first["order"]
    assert len(answer(capsys, "exchange", "orders")["orders"]) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("1", "0.475"), "invalid_price"),
        (("1000000", "0.47"), "insufficient_balance"),
        (("1", "0.47", "--reduce-only"), "invalid_order"),
        (("1", "0.60", "--post-only"), "invalid_order: post only cross"),
    ],
)
def test_its_no_is_one_line_with_its_code(
    words: tuple[str, ...], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["exchange", "order", A, "buy", "yes", *words, "--yes"]) == 1
    err = capsys.readouterr().err
    assert code in err and err.count("\n") == 1


def test_watch_sees_the_book_of_the_simulator(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["exchange", "watch", A, "--duration", "0.5", "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["known"] and last["bids"][0] == ["0.4600", "12.00"] and last["asks"] == [["0.4800", "5.00"]]
