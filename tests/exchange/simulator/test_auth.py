"""Signatures: whose they are, for what, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.units import MILLISECOND, SECOND
from kalshi_ray.errors import ConfigError, UnknownName
from kalshi_ray.exchange.sign import Secret, Signer, signer_of
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.auth import EXPIRED, UNKNOWN_KEY, UNSIGNED, WRONG_SIGNATURE, Auth, make_key
from kalshi_ray.wire.refusals import write_error

NOW = 1_791_000_000 * SECOND
PATH = "/trade-api/v2/portfolio/balance"
KINDS = ("rsa", "ed25519")
MADE = {kind: make_key(kind) for kind in KINDS}


def known(kind: str, window_s: float = 5.0) -> tuple[Auth, Signer, Account]:
    auth, account = Auth(window_s), Account("user", 10)
    key, pem = MADE[kind]
    auth.add("id", key, account)
    return auth, signer_of("id", Secret(pem, "a test")), account


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): word for name, word in headers.items()}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(off_ms=st.integers(-20_000, 20_000), window_s=st.sampled_from([1.0, 5.0, 15.0]))
def test_a_signature_counts_within_the_window_and_not_outside(kind: str, off_ms: int, window_s: float) -> None:
    auth, signer, account = known(kind, window_s)
    found = auth.account_of("GET", PATH, lower(signer.headers("GET", PATH, NOW + off_ms * MILLISECOND)), NOW)
    assert found is (account if abs(off_ms) <= window_s * 1000 else EXPIRED)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("GET", PATH + "s"), ("GET", "/portfolio/balance")])
def test_a_signature_is_for_one_method_and_one_path(kind: str, method: str, path: str) -> None:
    auth, signer, _ = known(kind)
    assert auth.account_of(method, path, lower(signer.headers("GET", PATH, NOW)), NOW) is WRONG_SIGNATURE


@pytest.mark.parametrize("kind", KINDS)
def test_the_query_is_not_signed(kind: str) -> None:
    auth, signer, account = known(kind)
    assert auth.account_of("GET", PATH, lower(signer.headers("GET", PATH + "?limit=5", NOW)), NOW) is account


@pytest.mark.parametrize("name", ["kalshi-access-key", "kalshi-access-timestamp", "kalshi-access-signature"])
def test_a_header_that_is_missing_or_empty_is_said_to_be_missing(name: str) -> None:
    auth, signer, _ = known("ed25519")
    headers = lower(signer.headers("GET", PATH, NOW))
    assert auth.account_of("GET", PATH, headers | {name: ""}, NOW) is UNSIGNED
    del headers[name]
    assert auth.account_of("GET", PATH, headers, NOW) is UNSIGNED


@settings(deadline=None)
@given(word=st.text(max_size=400))
def test_whatever_stands_in_a_header_there_is_an_answer(word: str) -> None:
    auth, signer, _ = known("rsa")
    good = lower(signer.headers("GET", PATH, NOW))
    for name, expected in (
        ("kalshi-access-key", {UNKNOWN_KEY, UNSIGNED}),
        ("kalshi-access-timestamp", {EXPIRED, UNSIGNED}),
        ("kalshi-access-signature", {WRONG_SIGNATURE, UNSIGNED}),
    ):
        if word != good[name]:
            assert auth.account_of("GET", PATH, good | {name: word}, NOW) in expected


def test_a_signature_of_another_key_is_wrong_and_an_unknown_key_is_not_found() -> None:
    auth, _, _ = known("rsa")
    other = signer_of("id", Secret(make_key("ed25519")[1], "a test"))
    assert auth.account_of("GET", PATH, lower(other.headers("GET", PATH, NOW)), NOW) is WRONG_SIGNATURE
    stranger = signer_of("nobody", Secret(MADE["rsa"][1], "a test"))
    assert auth.account_of("GET", PATH, lower(stranger.headers("GET", PATH, NOW)), NOW) is UNKNOWN_KEY


@pytest.mark.parametrize(
    ("no", "body"),
    [
        (UNSIGNED, b'"signature_is_missing_from_headers"'),
        (EXPIRED, b'"header_timestamp_expired"'),
        (UNKNOWN_KEY, b'"details":"NOT_FOUND"'),
        (WRONG_SIGNATURE, b'"details":"INCORRECT_API_KEY_SIGNATURE"'),
    ],
)
def test_refusals_have_the_exchanges_words(no: object, body: bytes) -> None:
    written = write_error(no)  # type: ignore[arg-type]
    assert written.startswith(b'{"error":{"code":') and body in written


def test_a_key_id_is_taken_once_and_a_key_has_a_known_kind() -> None:
    auth, _, account = known("rsa")
    with pytest.raises(ConfigError, match="taken"):
        auth.add("id", MADE["rsa"][0], account)
    with pytest.raises(UnknownName, match="ed25519"):
        make_key("dsa")
