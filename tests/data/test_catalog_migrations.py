"""The schema of a database: set up once, brought forward step by step, and never taken for ours when it is not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kalshi_ray.data.catalog import open_backend
from kalshi_ray.data.catalog.backend import PostgresBackend
from kalshi_ray.data.catalog.migrations import OURS, STEPS, Step
from kalshi_ray.data.catalog.status import migrate_database, read_status
from kalshi_ray.data.catalog.urls import read_place
from kalshi_ray.data.pieces import MANIFEST, part_name
from kalshi_ray.data.schema import UPDATES
from kalshi_ray.data.store import SessionStore
from kalshi_ray.errors import DataError, StoreOutdated
from tests.data.postgres import fresh_url, server
from tests.data.samples import market_table, random_updates, write_session

# What a later version might do; a column that is computed from the rows there are.
LATER = (
    *STEPS,
    Step(2, "notional of a row", "ALTER TABLE {schema}.updates ADD COLUMN micros bigint NOT NULL DEFAULT 0;"
    " UPDATE {schema}.updates SET micros = price * size;"),
    Step(3, "an index", "CREATE INDEX ON {schema}.pieces (written)"),
)  # fmt: skip
BROKEN = (*STEPS, Step(2, "half a step", "CREATE TABLE {schema}.half (one int); SELECT 1 / 0"))


def backend_of(url: str, steps: tuple[Step, ...] = STEPS) -> PostgresBackend:
    return PostgresBackend(read_place(url), steps=steps)


def sql(url: str, statement: str) -> list[dict[str, Any]]:
    return server().sql(statement, database=read_place(url).database)


def test_steps_are_numbered_from_one_without_a_hole() -> None:
    assert [step.version for step in STEPS] == list(range(1, len(STEPS) + 1))


def test_every_table_of_ours_is_known_as_ours() -> None:
    url = fresh_url()
    migrate_database(open_backend(url))
    held = sql(url, "SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'kalshi_ray'::regnamespace"
               " AND relkind IN ('r', 'p', 'v')")  # fmt: skip
    assert {row["name"] for row in held} == set(OURS)


def test_sessions_of_an_older_version_are_there_after_the_migration() -> None:
    url = fresh_url()
    table = random_updates(2_000, markets=3, seed=1)
    write_session(SessionStore(backend_of(url)), "s", table, market_table("A", "B", "C"))
    later = backend_of(url, LATER)
    for attempt in (later.ids, lambda: later.write("s", MANIFEST, b"")):
        with pytest.raises(StoreOutdated) as caught:
            attempt()
        assert str(caught.value).endswith(
            f"holds schema version 1, this program speaks 3. kalshi-ray database migrate --store '{later.url}'"
        )
    assert [step.version for step in migrate_database(later)] == [2, 3]
    assert migrate_database(later) == []
    assert SessionStore(later).open("s").updates().equals(table)
    later.write_table("t", part_name(0), [table], UPDATES)
    assert later.read_table("t", part_name(0), UPDATES).equals(table)
    held = sql(url, "SELECT version, what FROM kalshi_ray.schema_version ORDER BY version")
    assert [(row["version"], row["what"]) for row in held] == [(step.version, step.what) for step in LATER]
    wrong = sql(url, "SELECT count(*) AS n FROM kalshi_ray.updates_1 WHERE micros <> price * size")
    assert wrong == [{"n": 0}]


def test_an_older_program_leaves_a_later_database_alone() -> None:
    url = fresh_url()
    migrate_database(backend_of(url, LATER))
    older = backend_of(url)
    attempts = (older.ids, lambda: older.write("s", MANIFEST, b""), lambda: migrate_database(older))
    for attempt in attempts:
        with pytest.raises(StoreOutdated, match=r"holds schema version 3, this program speaks 1. Upgrade kalshi-ray"):
            attempt()
    assert read_status(older).state == "newer"


def test_a_program_that_was_running_during_the_migration_stops_writing() -> None:
    url = fresh_url()
    running = backend_of(url)
    running.write("s", MANIFEST, b"{}")
    migrate_database(backend_of(url, LATER))
    with pytest.raises(StoreOutdated, match=r"version 3"):
        running.write("s", MANIFEST, b"changed")
    with pytest.raises(StoreOutdated, match=r"version 3"):
        running.write_table("s", part_name(0), [random_updates(5, markets=1, seed=1)], UPDATES)
    with pytest.raises(StoreOutdated, match=r"version 3"):
        running.remove_session("s")
    assert backend_of(url, LATER).read("s", MANIFEST) == b"{}"


def test_of_migrations_at_once_each_step_is_applied_by_one() -> None:
    url = fresh_url()
    with ThreadPoolExecutor(6) as pool:
        applied = list(pool.map(lambda _: migrate_database(backend_of(url, LATER)), range(6)))
    assert sorted(step.version for steps in applied for step in steps) == [1, 2, 3]


def test_a_step_that_fails_is_not_applied_at_all() -> None:
    url = fresh_url()
    backend_of(url).write("s", MANIFEST, b"{}")
    with pytest.raises(DataError, match=r"division by zero"):
        migrate_database(backend_of(url, BROKEN))
    assert read_status(backend_of(url)).version == 1
    assert sql(url, "SELECT to_regclass('kalshi_ray.half') AS there") == [{"there": None}]
    assert backend_of(url).read("s", MANIFEST) == b"{}"


@pytest.mark.parametrize("table", ["sessions", "updates", "schema_version"])
def test_tables_of_another_program_are_never_touched(table: str) -> None:
    url = f"{fresh_url()}&schema=public"
    sql(url, f"CREATE TABLE public.{table} (version int, theirs text); INSERT INTO public.{table} VALUES (7, 'x')")
    backend = open_backend(url)
    for attempt in (backend.ids, lambda: backend.write("s", MANIFEST, b"{}"), lambda: migrate_database(backend)):
        with pytest.raises(DataError) as caught:
            attempt()
        assert f"schema 'public' of {backend.url} holds tables that are not ours: {table}. Nothing" in str(caught.value)
        assert "?schema=kalshi_ray" in str(caught.value)
    assert sql(url, f"SELECT * FROM public.{table}") == [{"version": 7, "theirs": "x"}]
    assert read_status(backend).foreign == (table,)
    beside = open_backend(url.replace("schema=public", "schema=sessions_of_ours"))
    beside.write("s", MANIFEST, b"{}")
    assert beside.ids() == ["s"]


def test_tables_of_ours_that_lost_their_version_are_told_what_can_be_done() -> None:
    url = fresh_url()
    migrate_database(backend_of(url))
    sql(url, "DELETE FROM kalshi_ray.schema_version WHERE true;")
    with pytest.raises(DataError, match=r"its schema_version says nothing of: .* already exists. Restore a backup, or"):
        migrate_database(backend_of(url))
    sql(url, "DROP TABLE kalshi_ray.schema_version;")
    with pytest.raises(DataError, match=r"not ours: .*Nothing was changed. Name a schema .* alone: \?schema=…"):
        backend_of(url).ids()
    assert migrate_database(backend_of(f"{url}&schema=beside")) == list(STEPS)


def test_a_schema_that_is_there_already_is_used() -> None:
    url = f"{fresh_url()}&schema=public"
    sql(url, "CREATE TABLE public.something_else (one int)")
    backend = open_backend(url)
    backend.write("s", MANIFEST, b"{}")
    assert backend.ids() == ["s"]


def test_status_says_what_there_is() -> None:
    url = fresh_url()
    backend = open_backend(url)
    empty = read_status(backend)
    assert (empty.state, empty.version, empty.can_write, empty.sessions) == ("empty", None, True, 0)
    write_session(SessionStore(backend), "s", random_updates(500, markets=2, seed=1), market_table("A", "B"))
    found = read_status(backend)
    assert (found.state, found.version, found.can_read, found.can_write) == ("ready", len(STEPS), True, True)
    assert (found.sessions, found.updates, found.role) == (1, 500, "postgres")
    assert found.bytes > 500 * 64
    assert read_status(backend_of(url, LATER)).state == "older"
