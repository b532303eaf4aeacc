"""What can be wrong with a database: each is one line that says what, where, and what to do, without the password."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kalshi_ray.data.catalog import open_backend
from kalshi_ray.data.catalog.backend import PostgresBackend
from kalshi_ray.data.catalog.status import read_status
from kalshi_ray.data.pieces import MANIFEST, part_name
from kalshi_ray.data.schema import UPDATES
from kalshi_ray.errors import DataError, KalshiRayError, StoreDown, StoreFull, UsageError
from tests.data.postgres import fresh_backend, server
from tests.data.samples import random_updates

PART = part_name(0)
TABLE = random_updates(20, markets=2, seed=1)
PASSWORD = "s3cret-p:w/d@"
IN_VAIN = "connect_timeout=0.3"


@pytest.fixture(scope="module")
def role() -> Iterator[Callable[[str, str], str]]:
    """Makes a role that may log in to a database, and gives its URL."""
    made: list[str] = []

    def make(database: str, rights: str = "") -> str:
        name = f"role{len(made)}"
        made.append(name)
        server().sql(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}';", database=database)
        if rights:
            server().sql(rights.replace("ROLE", name) + ";", database=database)
        return server().url_of(name, PASSWORD, database)

    yield make


def one_line(problem: pytest.ExceptionInfo[KalshiRayError], *words: str) -> None:
    text = str(problem.value)
    assert "\n" not in text and PASSWORD not in text and "s3cret" not in text
    assert "%40" not in text  # nor as it stands in the URL
    for word in words:
        assert word in text, text


def test_who_owns_the_database_may_do_everything(role: Callable[[str, str], str]) -> None:
    database = server().create_database()
    backend = open_backend(role(database, f"ALTER DATABASE {database} OWNER TO ROLE"))
    backend.write_table("s", PART, [TABLE], UPDATES)
    backend.write_table("s", PART, [TABLE], UPDATES)
    assert backend.read_table("s", PART, UPDATES).equals(TABLE)
    backend.remove_session("s")
    assert backend.ids() == []
    backend.database.close()


def test_a_role_without_rights_is_told_which_it_lacks(role: Callable[[str, str], str]) -> None:
    database = server().create_database()
    stranger = open_backend(role(database, ""))
    with pytest.raises(DataError) as caught:
        stranger.write("s", MANIFEST, b"{}")
    one_line(caught, "role 'role", "permission denied for database", "CREATE on the database", "docs/postgres.md")
    open_backend(server().url(database)).write_table("s", PART, [TABLE], UPDATES)
    with pytest.raises(DataError) as caught:
        stranger.ids()
    one_line(caught, "permission denied for schema kalshi_ray", "USAGE on the schema")


def test_a_reader_reads_and_is_told_why_it_may_not_write(role: Callable[[str, str], str]) -> None:
    database = server().create_database()
    owner = open_backend(server().url(database))
    owner.write_table("s", PART, [TABLE], UPDATES)
    rights = "GRANT USAGE ON SCHEMA kalshi_ray TO ROLE; GRANT SELECT ON ALL TABLES IN SCHEMA kalshi_ray TO ROLE"
    reader = open_backend(role(database, rights))
    # A session of later needs no grant of its own.
    owner.write_table("later", PART, [TABLE], UPDATES)
    owner.write("later", MANIFEST, b"{}")
    assert reader.ids() == ["later", "s"]
    assert reader.read_table("later", PART, UPDATES, markets=[1]).num_rows > 0
    assert reader.read("later", MANIFEST) == b"{}"
    attempts: list[Callable[[], object]] = [
        lambda: reader.write("s", MANIFEST, b"{}"),
        lambda: reader.create("t", "writer.lock", b""),
        lambda: reader.write_table("s", part_name(1), [TABLE], UPDATES),
        lambda: reader.remove("s", PART),
        lambda: reader.take_away("later", MANIFEST, b"{}"),
        lambda: reader.remove_session("s"),
    ]
    for attempt in attempts:
        with pytest.raises(DataError) as caught:
            attempt()
        one_line(caught, "has not the right to write: its tables belong to role 'postgres'", "docs/postgres.md, Rights")
    assert owner.read_table("s", PART, UPDATES).equals(TABLE)


def test_a_wrong_password_an_unknown_role_and_an_unknown_database_are_named(role: Callable[[str, str], str]) -> None:
    database = server().create_database()
    url = role(database, "")
    with pytest.raises(DataError) as caught:
        open_backend(server().url_of("role_of_nobody", PASSWORD, database)).ids()
    one_line(caught, "does not accept the password of role 'role_of_nobody'")
    name = url.partition("//")[2].partition(":")[0]
    with pytest.raises(DataError) as caught:
        open_backend(server().url_of(name, f"{PASSWORD}x", database)).ids()
    one_line(caught, f"does not accept the password of role '{name}'", "~/.pgpass")
    with pytest.raises(DataError) as caught:
        open_backend(server().url_of(name, PASSWORD, "nowhere")).ids()
    one_line(caught, "there is no database 'nowhere'", "createdb nowhere")
    assert not isinstance(caught.value, StoreDown)
    assert caught.value.exit_code == 1


def test_what_does_not_answer_is_down_after_the_patience_of_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    found = socket.getaddrinfo

    def named(host: str, *asked: object, **more: object) -> object:
        if host == "host.invalid":  # a name server that nobody reaches takes longer to say so
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found(host, *asked, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", named)
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unused = stack.enter_context(socket.socket())
        unused.bind(("127.0.0.1", 0))
        places = {
            f"127.0.0.1:{unused.getsockname()[1]}/d?{IN_VAIN}": "nothing listens at 127.0.0.1",
            f"127.0.0.1:{silent.getsockname()[1]}/d?{IN_VAIN}": "does not answer",
            f"host.invalid/d?{IN_VAIN}": "no host is named 'host.invalid'",
            f"/d?host=/nowhere&{IN_VAIN}": "there is no socket /nowhere/.s.PGSQL.5432",
        }
        for place, reason in places.items():
            with pytest.raises(StoreDown) as caught:
                open_backend(f"postgresql://user:s3cret@{place}").ids()
            one_line(caught, "cannot reach postgresql://user@", "within 0.3 s", reason, "Nothing was half-written")


def test_a_server_that_wants_no_encryption_is_refused_where_the_url_demands_it() -> None:
    url = f"postgresql://postgres@127.0.0.1:{server().port}/postgres?sslmode=require"
    with pytest.raises(DataError) as caught:
        open_backend(url).ids()
    one_line(caught, "the server speaks no TLS, which the URL demands", "Leave sslmode out")
    assert not isinstance(caught.value, StoreDown)  # it would be tried again, in vain


def test_a_line_that_the_server_wants_encrypted_is_told_how_to_be() -> None:
    database, rules = server().create_database(), server().data / "pg_hba.conf"
    kept = rules.read_text()
    try:
        rules.write_text(f"host {database} all 127.0.0.1/32 reject\n{kept}")
        server().sql("SELECT pg_reload_conf()")
        backend = open_backend(server().url_of("postgres", PASSWORD, database))
        with pytest.raises(DataError) as caught:
            while True:  # until the server has read its rules
                backend.ids()
    finally:
        rules.write_text(kept)
        server().sql("SELECT pg_reload_conf()")
    one_line(caught, "does not let role 'postgres' in: ", "no encryption. Try sslmode=require")


def test_certificates_that_do_not_hold_are_told_at_once(tmp_path: Path) -> None:
    key, certificate, other = (tmp_path / name for name in ("key.pem", "certificate.pem", "other.pem"))
    make_certificate(key, certificate, "elsewhere")
    make_certificate(tmp_path / "other.key", other, "another")
    with tls_only(key, certificate) as port:
        at = f"postgresql://user:s3cret@127.0.0.1:{port}/d"
        for asked, words in {
            f"sslmode=verify-ca&sslrootcert={other}": "Give its authority: sslrootcert=…",
            f"sslmode=verify-full&sslrootcert={certificate}": "Name the host as its certificate does",
        }.items():
            with pytest.raises(DataError) as caught:
                open_backend(f"{at}?{asked}").ids()
            one_line(caught, "cannot be trusted", words)
        with pytest.raises(UsageError) as refused:
            open_backend(f"{at}?sslmode=verify-ca&sslrootcert={key}").ids()
        one_line(refused, "a file of the URL cannot be used", "Give PEM files")


def make_certificate(key: Path, certificate: Path, name: str) -> None:
    """A certificate of its own making."""
    made = ec.generate_private_key(ec.SECP256R1())
    who, day = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]),
        datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )
    signed = (
        x509.CertificateBuilder(who, who, made.public_key(), 1, day, day.replace(year=2120))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(made, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(made.private_bytes(pem, *plain))
    certificate.write_bytes(signed.public_bytes(pem))


@contextmanager
def tls_only(key: Path, certificate: Path) -> Iterator[int]:
    """The port of a server that shows its certificate and says no more: the one of the tests is built without TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, suppress(OSError):
                client.recv(8)  # the request for TLS
                client.sendall(b"S")
                context.wrap_socket(client, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_bounds_on_time_that_a_role_or_a_database_has_do_not_cut_a_call_short() -> None:
    backend = fresh_backend()
    table = random_updates(60_000, markets=2, seed=2)
    bounds = ["statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"]
    bounds += ["transaction_timeout"] * bool(
        server().sql("SELECT 1 FROM pg_settings WHERE name = 'transaction_timeout'")
    )
    for bound in bounds:
        server().sql(f"ALTER DATABASE {backend.place.database} SET {bound} = '20ms';")
    assert backend.write_table("s", PART, [table], UPDATES).rows == 60_000
    assert backend.read_table("s", PART, UPDATES).equals(table)


def test_a_server_that_can_only_be_read_is_read_and_named() -> None:
    backend = fresh_backend()
    backend.write_table("s", PART, [TABLE], UPDATES)
    assert read_status(backend).can_write
    server().sql(f"ALTER DATABASE {backend.place.database} SET default_transaction_read_only = on;")
    backend.database.close()
    assert backend.read_table("s", PART, UPDATES).equals(TABLE)
    with pytest.raises(DataError) as caught:
        backend.write("s", MANIFEST, b"{}")
    one_line(caught, "can only be read", "Name the primary server")
    status = read_status(backend)
    assert status.can_read and not status.can_write


def test_tables_that_are_dropped_under_a_program_are_named_and_then_there_is_nothing() -> None:
    backend = fresh_backend()
    backend.write_table("s", PART, [TABLE], UPDATES)
    assert backend.ids() == ["s"]
    dropped = "SET client_min_messages = error; DROP SCHEMA kalshi_ray CASCADE"
    server().sql(dropped, database=backend.place.database)
    with pytest.raises(DataError) as caught:
        backend.ids()
    one_line(caught, "no more what our tables were", 'relation "kalshi_ray.sessions" does not exist', "database status")
    assert backend.ids() == []


def test_an_authority_that_is_demanded_and_not_there_is_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        open_backend(f"postgresql://user:s3cret@127.0.0.1:{server().port}/postgres?sslmode=verify-full").ids()
    one_line(caught, "root certificate file", "Give its authority in a PEM file: sslrootcert=…")


def test_a_server_without_a_free_connection_is_waited_for() -> None:
    database = server().create_database()
    server().sql(f"CREATE ROLE single LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 1;")
    server().sql(f"ALTER DATABASE {database} OWNER TO single;")
    first = open_backend(server().url_of("single", PASSWORD, database))
    first.write("s", MANIFEST, b"{}")  # keeps its connection
    with pytest.raises(StoreDown) as caught:
        open_backend(server().url_of("single", PASSWORD, database, connect_timeout=2)).ids()
    one_line(caught, "the server takes no more connections: too many connections for role")
    first.database.close()
    second = open_backend(server().url_of("single", PASSWORD, database, connect_timeout=20))
    assert second.ids() == ["s"]
    second.database.close()


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        ("53100", StoreFull, "no space left in postgresql://"),
        ("25006", DataError, "can only be read"),
        ("57014", StoreDown, "the call was cancelled there"),
        ("22012", DataError, "SQLSTATE 22012"),
    ],
)
def test_what_the_server_refuses_leaves_nothing_half_written(state: str, kind: type[DataError], words: str) -> None:
    backend = fresh_backend()
    backend.write_table("s", PART, [TABLE], UPDATES)
    server().sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = "
        f"'{state}', MESSAGE = 'could not extend file'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON kalshi_ray.pieces FOR EACH ROW EXECUTE FUNCTION refuse();",
        database=backend.place.database,
    )
    for attempt in (
        lambda: backend.write_table("s", PART, [random_updates(30, markets=2, seed=2)], UPDATES),
        lambda: backend.write_table("t", PART, [TABLE], UPDATES),
        lambda: backend.write("s", MANIFEST, b"{}"),
    ):
        with pytest.raises(kind) as caught:
            attempt()
        assert type(caught.value) is kind
        one_line(caught, words, "could not extend file")
    assert backend.read_table("s", PART, UPDATES).equals(TABLE)
    assert list(backend.sizes("s")) == [PART]
    server().sql("DROP FUNCTION refuse CASCADE;", database=backend.place.database)
    assert backend.write_table("s", PART, [random_updates(30, markets=2, seed=2)], UPDATES).rows == 30


def test_a_lock_of_somebody_else_is_waited_for_and_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalshi_ray.data.catalog.link.LOCK_S", 0.1)
    backend = fresh_backend(connect_timeout=1)
    backend.write_table("s", PART, [TABLE], UPDATES)
    backend.database.close()  # the next connection waits as long as is said above

    async def hold() -> None:
        connection = await asyncpg.connect(
            host=backend.place.host, port=backend.place.port, user="postgres", database=backend.place.database
        )
        async with connection.transaction():
            await connection.execute("LOCK TABLE kalshi_ray.pieces")
            with pytest.raises(StoreDown) as caught:
                await asyncio.to_thread(backend.write, "s", MANIFEST, b"{}")
            one_line(caught, "somebody else holds a lock")
        await connection.close()

    asyncio.run(hold())
    backend.write("s", MANIFEST, b"{}")


def test_a_database_in_another_encoding_is_refused() -> None:
    database = server().create_database(ENCODING="'LATIN1'", LOCALE="'C'", TEMPLATE="template0")
    with pytest.raises(DataError, match=r"holds texts as LATIN1. Create a database WITH ENCODING 'UTF8'"):
        open_backend(server().url(database)).ids()


def test_an_asynchronous_server_is_made_to_keep_our_promise() -> None:
    database = server().create_database()
    server().sql(f"ALTER DATABASE {database} SET synchronous_commit = off;")
    backend = open_backend(server().url(database))

    async def asked(link: object) -> str:
        return str(await link.value("SHOW synchronous_commit"))  # type: ignore[attr-defined]

    assert backend.database.call(asked) == "on"


def test_an_error_of_ours_is_no_fault_of_the_server() -> None:
    backend: PostgresBackend = fresh_backend()

    async def broken(link: object) -> None:
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match=r"ours"):
        backend.database.call(broken)
    assert backend.ids() == []
