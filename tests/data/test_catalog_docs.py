"""docs/postgres.md: its SQL runs as it stands, its tables are all there are, and a dump restores."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.postgres import SUPERUSER
from kalshi_ray.data.catalog.migrations import OURS, STEPS
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.synthetic import SynthSettings, synthesize
from kalshi_ray.data.verify import verify_session
from tests.data.postgres import server

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "postgres.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?P<mark><!-- server -->\n)?```sql\n(?P<sql>.*?)```", re.DOTALL)


def statements(*, of_server: bool) -> list[str]:
    found = "".join(block["sql"] for block in BLOCK.finditer(PAGE) if bool(block["mark"]) == of_server)
    return [part.strip() for part in re.sub(r"--.*", "", found).split(";") if part.strip()]


@pytest.fixture(scope="module")
def store() -> SessionStore:
    """The database that the page sets up, with a session in it."""
    for statement in statements(of_server=True):
        server().sql(statement)
    made = open_store(server().url_of("recorder", "choose one", "kalshi"))
    synthesize(made, "demo", SynthSettings(regime="planted", markets=6, hours=0.1))
    return made


@pytest.fixture(scope="module")
def answers(store: SessionStore) -> dict[str, list[dict[str, Any]]]:
    """What every statement of the page gives, in the database of the page."""
    return {one: server().sql(one, database="kalshi") for one in statements(of_server=False)}


def test_every_statement_of_the_page_runs(answers: dict[str, list[dict[str, Any]]], store: SessionStore) -> None:
    manifest = store.open("demo").manifest
    by_words = {one.split("\n")[0]: rows for one, rows in answers.items()}
    overview = next(rows for words, rows in by_words.items() if "recordings" in words)
    assert [(row["session"], row["updates"], row["markets"]) for row in overview] == [("demo", manifest.updates, 6)]
    volume = next(rows for words, rows in by_words.items() if "vwap" in words or "prints" in words)
    assert sum(row["prints"] for row in volume) == manifest.kinds["TRADE"]
    assert all(0 < row["vwap"] < 1 for row in volume)
    minutes = next(rows for words, rows in by_words.items() if "date_trunc" in words)
    assert (
        sum(row["count"] for row in minutes)
        == store.open("demo").updates(markets=[store.open("demo").tickers()[0]]).num_rows
    )
    assert next(rows for words, rows in by_words.items() if "LIMIT 20" in words or "side, dollars" in words)


def test_a_reader_of_the_page_may_ask_what_the_page_asks(answers: dict[str, list[dict[str, Any]]]) -> None:
    reader = open_store(server().url_of("quant", "choose another", "kalshi"))
    assert [one.id for one in reader.list()] == ["demo"]
    assert reader.open("demo").updates().num_rows > 0
    reads = [one for one in statements(of_server=False) if one.startswith("SELECT")]
    for statement in reads:
        server().sql(f"SET ROLE quant; {statement};", database="kalshi")
    assert len(reads) == 8


def test_the_page_names_every_table_and_every_version() -> None:
    section = PAGE.partition("## What is stored where")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `(\w+)", section, re.MULTILINE)) == {*OURS, "tape"}
    versions = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE.partition("## Versions")[2], re.MULTILINE)
    assert versions == [(str(step.version), step.what) for step in STEPS]


def test_a_dump_restores_to_the_same_sessions(store: SessionStore, tmp_path: Path) -> None:
    other = server().create_database(OWNER="recorder")
    programs, dump = server().binaries, tmp_path / "kalshi.dump"
    at = ("--host", str(server().folder), "--port", str(server().port), "--username", SUPERUSER)
    subprocess.run(
        [programs / "pg_dump", *at, "--format=custom", "--schema=kalshi_ray", f"--file={dump}", "kalshi"], check=True
    )
    subprocess.run([programs / "pg_restore", *at, f"--dbname={other}", dump], check=True)
    restored = open_store(server().url_of("recorder", "choose one", other))
    assert restored.open("demo").checksum == store.open("demo").checksum
    assert verify_session(restored, "demo").problems == []
    synthesize(restored, "later", SynthSettings(regime="planted", markets=6, hours=0.05))
    assert restored.ids() == ["demo", "later"]
