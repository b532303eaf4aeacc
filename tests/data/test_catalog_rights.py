"""What a role may do in a database: all of a change or nothing of it, and what it lacks in one line."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from kalshi_ray.data.catalog import open_backend
from kalshi_ray.data.catalog.status import read_status
from kalshi_ray.data.pieces import part_name
from kalshi_ray.data.schema import UPDATES
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.errors import DataError
from tests.data.postgres import server
from tests.data.samples import draft, market_table, random_updates, write_session

TABLE = random_updates(20, markets=2, seed=1)
PASSWORD = "s3cret"
ALL = "GRANT USAGE ON SCHEMA kalshi_ray TO {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"
ALL += " IN SCHEMA kalshi_ray TO {role}"
_numbers = itertools.count()


def role_with(database: str, rights: str = "SELECT 1") -> tuple[str, str]:
    """A role that may log in and has these rights; its name and its URL."""
    name = f"right{next(_numbers)}"
    server().sql(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'; {rights.format(role=name)};", database=database)
    return name, server().url_of(name, PASSWORD, database)


def owned_store() -> tuple[str, str, SessionStore]:
    """A database, the role that owns it and its tables, and its store with a session."""
    database = server().create_database()
    owner, url = role_with(database, f"ALTER DATABASE {database} OWNER TO {{role}}")
    store = open_store(url)
    write_session(store, "s", TABLE, market_table("A", "B"))
    return database, owner, store


@pytest.mark.parametrize("more", ["", "; GRANT CREATE ON SCHEMA kalshi_ray TO {role}"])
def test_who_may_change_rows_but_owns_no_table_leaves_a_session_as_it_was(more: str) -> None:
    database, owner, store = owned_store()
    before = store.open("s").checksum
    role, url = role_with(database, ALL + more)
    limited = open_store(url)
    attempts: list[Callable[[], object]] = [
        lambda: limited.delete("s", expected_rows=20),
        lambda: limited.resume("s"),
        lambda: limited.writer("t", manifest=draft()),
        lambda: limited.backend.take_away("s", "session.json", b""),
        lambda: limited.backend.remove("s", part_name(0)),
    ]
    for attempt in attempts:
        with pytest.raises(DataError) as caught:
            attempt()
        assert f"role '{role}' has not the right to write: its tables belong to role '{owner}'" in str(caught.value)
        assert "or a member of it, with CREATE on schema 'kalshi_ray'. See docs/postgres.md, Rights" in str(
            caught.value
        )
    assert [(one.id, one.state) for one in store.list()] == [("s", "finished")]
    assert store.open("s").checksum == before == limited.open("s").checksum
    status = read_status(open_backend(url))
    assert (status.can_read, status.can_write) == (True, False)


def test_what_a_member_of_the_owner_begins_the_owner_and_other_members_can_go_on_with() -> None:
    database, owner, store = owned_store()
    member, url = role_with(database, f"GRANT {owner} TO {{role}}")
    _, other_url = role_with(database, f"GRANT {owner} TO {{role}}")
    assert read_status(open_backend(url)).can_write
    begun = open_store(url).backend
    begun.write_table("m", part_name(0), [TABLE], UPDATES)
    for number, backend in enumerate((store.backend, open_store(other_url).backend), start=1):
        backend.write_table("m", part_name(number), [TABLE], UPDATES)
        backend.write_table("m", part_name(0), [TABLE], UPDATES)
        assert backend.read_table("m", part_name(number), UPDATES).equals(TABLE)
    owners = server().sql(
        "SELECT DISTINCT pg_get_userbyid(relowner) AS name FROM pg_class WHERE relname LIKE 'updates_%'"
        " AND relkind IN ('r', 'p')",
        database=database,
    )
    assert owners == [{"name": owner}] and owner != member
    store.backend.remove_session("m")
    assert store.ids() == ["s"]


def test_who_may_not_connect_is_told_that_right_and_not_another() -> None:
    database = server().create_database()
    _, url = role_with(database, f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")
    with pytest.raises(
        DataError, match=r"permission denied for database .* It needs CONNECT on the database. See docs"
    ):
        open_backend(url).ids()
