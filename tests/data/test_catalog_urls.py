"""URLs of databases: read whole or refused in one line, and never shown with their password."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.config import without_password
from kalshi_ray.data.catalog.urls import read_place
from kalshi_ray.errors import UsageError

PASSWORDS = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\t"), min_size=5)  # those urlsplit drops
HOSTS = st.sampled_from(["localhost", "10.0.0.7", "[::1]", "db.example"])


@given(PASSWORDS, HOSTS)
def test_a_quoted_password_is_read_and_never_shown(password: str, host: str) -> None:
    place = read_place(f"postgresql://user:{quote(password, safe='')}@{host}:5433/name?schema=s&sslmode=require")
    assert place.password == password
    shown = f"postgresql://user@{host}:5433/name?schema=s&sslmode=require"
    assert str(place) == shown
    assert "password" not in repr(place)
    assert read_place(shown).password is None and str(read_place(shown)) == shown


@given(st.text("abcXYZ019 @:/?#%&=+.[]", min_size=8, max_size=20), st.booleans())
def test_a_password_that_was_not_quoted_is_never_shown_either(password: str, is_known: bool) -> None:
    secret = f"QQ{password}QQ"
    url = f"postgresql://user:{secret}@localhost/name{'' if is_known else '?colour=red'}"
    assert "QQ" not in without_password(url)
    try:
        place = read_place(url)
    except UsageError as problem:
        assert "QQ" not in str(problem)
    else:
        assert "QQ" not in str(place) and "QQ" not in place.server


@pytest.mark.parametrize(
    ("url", "shown", "server"),
    [
        ("postgresql://u@h/d", "postgresql://u@h:5432/d", "h:5432"),
        ("postgres://h:1/d", "postgresql://h:1/d", "h:1"),
        ("postgresql:///d?host=/run/x", "postgresql:///d?host=/run/x", "/run/x/.s.PGSQL.5432"),
        ("postgresql://u@:99/d?host=/run/x", "postgresql://u@:99/d?host=/run/x", "/run/x/.s.PGSQL.99"),
        ("postgresql:///d", "postgresql:///d", "the local server"),
        ("postgresql:///d?host=/run/x&port=99&user=u", "postgresql://u@:99/d?host=/run/x", "/run/x/.s.PGSQL.99"),
        ("postgresql://h/a%20b?schema=kalshi_ray", "postgresql://h:5432/a%20b", "h:5432"),
        ("postgresql://%C3%A9@h/d?schema=Mine", "postgresql://%C3%A9@h:5432/d?schema=Mine", "h:5432"),
    ],
)
def test_a_place_is_shown_as_a_url_that_names_it_again(url: str, shown: str, server: str) -> None:
    place = read_place(url)
    assert (str(place), place.server) == (shown, server)
    assert read_place(shown) == place


def test_a_port_that_the_url_does_not_name_is_that_of_every_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6001")
    assert read_place("postgresql://h/d").port == 6001
    assert read_place("postgresql://h:5432/d").port == 5432
    monkeypatch.setenv("PGPORT", "6001,6002")
    with pytest.raises(UsageError, match=r"'6001,6002' is no port. Give one number .* or in PGPORT"):
        read_place("postgresql://h/d")


def test_patience_is_what_the_url_says() -> None:
    assert read_place("postgresql://h/d").patience_s == 10.0
    assert read_place("postgresql://h/d?connect_timeout=0.5").patience_s == 0.5


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("h", r"no database is named. Give postgresql://"),
        ("h/", r"no database is named"),
        ("h/a/b", r"not one name"),
        ("h:port/d", r"host and port cannot be read"),
        ("h:99999/d", r"host and port cannot be read"),
        ("h,i/d", r"one server"),
        ("h/d#x", r"no # are expected"),
        ("h/d?schema=a&schema=b", r"stands twice"),
        ("h/d?colour=red", r"unknown parameter 'colour'. Known: schema, connect_timeout, host, port, user, sslmode"),
        ("h/d?host=/run", r"host is named twice"),
        ("h:1/d?port=2", r"port is named twice. Name it before the / or as \?port="),
        ("h/d?user=other", r"user is named twice"),
        ("h:0/d", r"'0' is no port. Give one number from 1 to 65535"),
        ("h/d?port=many", r"'many' is no port"),
        ("h/d?port=65536", r"'65536' is no port"),
        ("h/d?sslmode=perhaps", r"unknown sslmode 'perhaps'. Known: disable, allow"),
        ("h/d?sslmode=verify-ca&sslrootcert=/nowhere.pem", r"sslrootcert=/nowhere.pem is no file"),
        ("h/d?schema=a-b", r"'a-b' is no schema"),
        ("h/d?schema=pg_mine", r"no pg_"),
        ("h/d?connect_timeout=soon", r"connect_timeout=soon is no time"),
        ("h/d?connect_timeout=0", r"is no time"),
        ("h/d?schema", r"cannot be read. Write \?name=value"),
        ("h/d?password=QQ", r"password is not taken after the \?"),
        ("h/d?sslpassword=QQ", r"sslpassword is not taken"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_in_one_line(rest: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        read_place(f"postgresql://user:QQ@{rest}")
    assert "QQ" not in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
