"""Signatures verify with the public key over the exchange's text, and keys show nowhere."""

from __future__ import annotations

import base64
import io
import pickle
import traceback

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kalshi_ray import telemetry
from kalshi_ray.errors import ConfigError
from kalshi_ray.exchange.sign import KEY_HEADER, SIGNATURE_HEADER, TIME_HEADER, Secret, signed_text, signer_of
from tests.examples import some_of
from tests.exchange.keys import KEY_ID, AnyKey, ed25519_key, pem_of, rsa_key, signer

PSS = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)
NOW = 1_703_123_456_789_000_000
PATH = "/trade-api/v2/portfolio/orders"


def test_the_text_is_the_documented_one() -> None:
    assert signed_text("1703123456789", "get", f"{PATH}?limit=5") == b"1703123456789GET/trade-api/v2/portfolio/orders"


@settings(max_examples=some_of(40))
@given(
    st.integers(0, 2**62),
    st.sampled_from(["GET", "post", "DELETE", "PUT"]),
    st.from_regex(r"(/[a-zA-Z0-9.%-]+)+", fullmatch=True),
    st.sampled_from(["", "?", "?limit=5&cursor=a?b"]),
)
@example(0, "GET", "/0", "?")
def test_a_signature_verifies_with_the_public_key(now_ns: int, method: str, path: str, query: str) -> None:
    """Over the path alone: what stands behind a question mark is not signed."""
    text = f"{now_ns // 1_000_000}{method.upper()}{path}".encode()
    for key in (rsa_key(), ed25519_key()):
        headers = signer(key).headers(method, path + query, now_ns)
        signature = base64.b64decode(headers[SIGNATURE_HEADER], validate=True)
        assert headers[KEY_HEADER] == KEY_ID and headers[TIME_HEADER] == str(now_ns // 1_000_000)
        if key is rsa_key():
            rsa_key().public_key().verify(signature, text, PSS, SHA256())
        else:
            ed25519_key().public_key().verify(signature, text)


def test_a_signature_is_of_one_time_method_and_path() -> None:
    headers = signer().headers("GET", PATH, NOW)
    signature = base64.b64decode(headers[SIGNATURE_HEADER])
    for text in (b"1703123456790GET" + PATH.encode(), b"1703123456789POST" + PATH.encode(), b"1703123456789GET/"):
        with pytest.raises(InvalidSignature):
            ed25519_key().public_key().verify(signature, text)


def test_both_forms_of_an_rsa_key_are_read() -> None:
    pem = pem_of(rsa_key(), form=PrivateFormat.TraditionalOpenSSL)
    assert signer_of(KEY_ID, Secret(pem, "k.pem")).kind == "RSA"


PUBLIC = ed25519_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
RAW = ed25519_key().private_bytes_raw()
NOT_A_KEY = "what k.pem holds is no private key in PEM"
WRONG = [
    (pem_of(rsa_key(), password=b"open sesame"), "the private key from k.pem is encrypted"),
    (pem_of(rsa_key(1024)), "the RSA key from k.pem has 1024 bits"),
    (pem_of(ec.generate_private_key(ec.SECP256R1())), "the key from k.pem is of kind"),
    (pem_of(dsa.generate_private_key(2048)), "the key from k.pem is of kind DSA"),
    (PUBLIC, NOT_A_KEY),
    (b"", NOT_A_KEY),
    (RAW, NOT_A_KEY),
    (base64.b64encode(RAW), NOT_A_KEY),
    (pem_of(rsa_key())[:800], NOT_A_KEY),
    (b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(RAW) + b"\n-----END PRIVATE KEY-----\n", NOT_A_KEY),
]


@pytest.mark.parametrize(("content", "said"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_key_is_one_clear_error(content: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        signer_of(KEY_ID, Secret(content, "k.pem"))


@pytest.mark.parametrize("key_id", ["", "two words", "line\nbreak", "schlüssel"])
def test_a_wrong_key_id_is_one_clear_error(key_id: str) -> None:
    with pytest.raises(ConfigError, match="key_id"):
        signer_of(key_id, Secret(pem_of(ed25519_key()), "k.pem"))


def pieces(content: bytes) -> list[str]:
    """Parts of a key's text, each long enough to be no accident."""
    lines = [line for line in content.decode("latin-1").splitlines() if line and "-----" not in line]
    return [line[at : at + 16] for line in lines for at in range(0, max(1, len(line) - 15), 16)]


def shows(text: str, content: bytes) -> bool:
    return any(piece in text for piece in pieces(content))


@pytest.mark.parametrize("key", [rsa_key(), ed25519_key()], ids=["rsa", "ed25519"])
def test_neither_secret_nor_signer_shows_the_key(key: AnyKey) -> None:
    pem = pem_of(key)
    secret = Secret(pem, "k.pem")
    made = signer_of(KEY_ID, secret)
    log = io.StringIO()
    for as_json in (False, True):
        telemetry.configure(level="DEBUG", as_json=as_json, stream=log)
        telemetry.event("exchange.key", secret=secret, signer=made, both=[secret, made])
    for text in (
        repr(secret),
        str(secret),
        f"{secret!r}{made}",
        repr(made),
        str([made, {"a": secret}]),
        log.getvalue(),
    ):
        assert not shows(text, pem)
    assert "k.pem" in log.getvalue() and KEY_ID in log.getvalue()
    for one in (secret, made):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(one)


@pytest.mark.parametrize("number", [number for number, (content, _) in enumerate(WRONG) if content])
def test_no_traceback_shows_what_could_not_be_read(number: int) -> None:
    """Not even one that prints the variables of every frame, down to the library's."""
    content, _ = WRONG[number]
    secret = Secret(content, "k.pem")
    with pytest.raises(ConfigError) as caught:
        signer_of(KEY_ID, secret)
    assert caught.tb.tb_next is not None  # without this test's own frame
    whole = traceback.TracebackException(ConfigError, caught.value, caught.tb.tb_next, capture_locals=True)
    text = "".join(whole.format())
    assert "Secret(from k.pem)" in text and not shows(text, content)
