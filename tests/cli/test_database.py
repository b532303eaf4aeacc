"""Commands on a store in PostgreSQL: the same as on a folder, and no word of the password anywhere."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from kalshi_ray.cli.app import run
from kalshi_ray.cli.settings import Places
from kalshi_ray.config import load
from kalshi_ray.data.catalog.migrations import STEPS
from kalshi_ray.data.store import open_store
from tests.data.postgres import server

PASSWORD = "geheim/wort@:1"
SECRETS = ("geheim", "wort@", quote(PASSWORD, safe=""))


@pytest.fixture(scope="module")
def url() -> str:
    """A database of a role with a password."""
    database = server().create_database()
    server().sql(f"CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'; ALTER DATABASE {database} OWNER TO clerk;")
    return server().url_of("clerk", PASSWORD, database, connect_timeout=20)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def silence(place: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever a test prints or writes: the password is not in it."""
    yield
    said = capfd.readouterr()
    files = {path.name: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    for secret in SECRETS:
        assert secret not in said.out + said.err
        assert not [name for name, content in files.items() if secret.encode() in content]


def out(capfd: pytest.CaptureFixture[str], *line: str, code: int = 0) -> str:
    """What a command prints; it is checked for the password here, because reading takes it away."""
    assert run(line) == code, capfd.readouterr().err
    said = capfd.readouterr()
    for secret in SECRETS:
        assert secret not in said.out + said.err
    return said.out if code == 0 else said.err


def test_a_session_is_made_and_looked_at_as_in_a_folder(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    store = ("--store", url)
    assert "the first write sets it up" in out(capfd, "database", "status", *store)
    out(capfd, "sessions", "synth", "demo", "--regime", "planted", "--markets", "6", "--hours", "0.1", *store)
    found = json.loads(out(capfd, "sessions", "list", "--json", *store))
    assert found["store"].startswith("postgresql://clerk@127.0.0.1:")
    assert [(one["id"], one["state"]) for one in found["sessions"]] == [("demo", "finished")]
    assert "nothing is wrong with them" in out(capfd, "sessions", "validate", "demo", *store)
    assert "finished" in out(capfd, "sessions", "verify", "demo", *store)
    out(capfd, "sessions", "analyze", "demo", "--json", *store)
    out(capfd, "sessions", "copy", "demo", "--to", "here", *store)
    assert open_store("here").open("demo").checksum == open_store(url).open("demo").checksum
    assert "database" in out(capfd, "doctor", "--log-level", "DEBUG", *store)
    status = json.loads(out(capfd, "database", "status", "--json", *store))
    assert (status["state"], status["sessions"], status["role"]) == ("ready", 1, "clerk")
    assert "updates" in out(capfd, "database", "status", *store)
    rows = found["sessions"][0]["rows"]
    out(capfd, "sessions", "delete", "demo", "--rows", str(rows), *store)
    assert json.loads(out(capfd, "sessions", "list", "--json", *store))["sessions"] == []


def test_a_session_of_a_store_far_away_trains_to_the_same_pack_as_one_here(url: str) -> None:
    from kalshi_ray.data.synthetic import SynthSettings, synthesize
    from kalshi_ray.data.views import build_pack

    settings = SynthSettings(regime="planted", markets=6, hours=0.1, seed=3)
    packs = []
    for store in (open_store("here"), open_store(url)):
        synthesize(store, "pack", settings)
        packs.append(build_pack(store.open("pack")))
    here, there = packs
    assert here.checksum == there.checksum and here.tickers == there.tickers
    for name in ("updates", "views", "keyframes", "levels", "values"):
        assert getattr(here, name).tobytes() == getattr(there, name).tobytes()


def test_migrate_sets_up_and_then_does_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    store = ("--store", server().url(server().create_database()))
    applied = json.loads(out(capfd, "database", "migrate", "--json", *store))
    assert [step["version"] for step in applied["applied"]] == [step.version for step in STEPS]
    assert out(capfd, "database", "migrate", *store) == f"schema version {len(STEPS)}, which this program speaks\n"


def test_the_store_of_database_url_counts_where_none_is_named(
    url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    shown = json.loads(out(capfd, "config", "show", "places", "--json"))["settings"][0]
    assert shown["source"] == "DATABASE_URL"
    assert shown["value"].startswith("postgresql://clerk:***@127.0.0.1:")
    assert "DATABASE_URL" in out(capfd, "config", "show", "places")
    assert json.loads(out(capfd, "database", "status", "--json"))["role"] == "clerk"
    (place / "k.toml").write_text('[places]\nstore = "from-a-file"\n')
    named = {
        "--places.store": ["--places.store", "other"],
        "KALSHI_RAY_PLACES__STORE": [],
        "k.toml": ["--config", "k.toml"],
    }
    for source, words in named.items():
        with monkeypatch.context() as changed:
            if source.startswith("KALSHI"):
                changed.setenv(source, "from-a-variable")
            shown = json.loads(out(capfd, "config", "show", "places", "--json", *words))["settings"][0]
            assert shown["source"] == source
    assert load(Places, environ={"DATABASE_URL": ""}).value.store == "store"


@pytest.mark.parametrize("foreign", ["mysql://me:geheim@localhost/x", "redis://:geheim@localhost"])
def test_a_database_of_another_kind_is_refused(
    foreign: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", foreign)
    assert "Give a folder" in out(capfd, "sessions", "list", code=2)
    assert "is no database" in out(capfd, "database", "status", code=2)


def test_a_folder_is_no_database(capfd: pytest.CaptureFixture[str]) -> None:
    assert "the store 'here' is no database. Give --store postgresql://" in out(
        capfd, "database", "migrate", "--store", "here", code=2
    )


def test_errors_on_the_way_to_a_database_name_it_without_the_password(
    url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = {
        url.replace("geheim", "falsch"): "does not accept the password",
        url.replace("connect_timeout=20", "connect_timeout=0.2").replace(f":{server().port}", ":1"): "cannot reach",
        url.replace("connect_timeout", "timeout"): "unknown parameter 'timeout'",
        url.partition("?")[0].rpartition("/")[0]: "no database is named",
        url.partition("?")[0] + "x": "there is no database",
    }
    for store, words in wrong.items():
        code = 2 if "parameter" in words or "named" in words else 1
        for line in (["sessions", "list"], ["sessions", "list", "--debug"], ["database", "status", "--json"]):
            assert words in out(capfd, *line, "--store", store, code=code)


def test_doctor_says_what_is_wrong_with_a_database(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    def check(store: str, code: int) -> dict[str, str]:
        assert run(["doctor", "--json", "--store", store]) == code
        found: list[dict[str, str]] = json.loads(capfd.readouterr().out)["checks"]
        return next(one for one in found if one["name"] in ("database", "store"))

    gone = url.replace("connect_timeout=20", "connect_timeout=0.2").replace(f":{server().port}", ":1")
    assert check(gone, 1)["state"] == "FAIL" and "cannot reach" in check(gone, 1)["found"]
    theirs = server().url(server().create_database(), schema="public")
    server().sql("CREATE TABLE sessions (id int)", database=theirs.partition("?")[0].rpartition("/")[2])
    assert "tables sessions are not ours" in check(theirs, 1)["found"]
    database = url.partition("?")[0].rpartition("/")[2]
    open_store(url).backend.write("left", "session.json", b"{}")
    server().sql(
        f"CREATE ROLE looker LOGIN PASSWORD '{PASSWORD}'; GRANT USAGE ON SCHEMA kalshi_ray TO looker;"
        " GRANT SELECT ON ALL TABLES IN SCHEMA kalshi_ray TO looker;",
        database=database,
    )
    looker = server().url_of("looker", PASSWORD, database)
    assert (check(looker, 0)["state"], "may only read" in check(looker, 0)["found"]) == ("warn", True)


def test_the_traceback_of_an_unexpected_fault_has_no_password(
    url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    monkeypatch.setattr("kalshi_ray.data.catalog.rows.Rows.ids", lambda *_: 1 / 0)
    open_store(url).backend.write("s", "x", b"")
    said = out(capfd, "sessions", "list", "--store", url, code=1)
    assert "unexpected ZeroDivisionError" in said and list(place.glob("kalshi-ray-*.log"))
    out(capfd, "--debug", "sessions", "list", "--store", url, code=1)
