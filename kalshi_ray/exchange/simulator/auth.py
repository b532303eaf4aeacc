"""Who asks: keys, signatures and the clock window, in the exchange's own words."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Literal, get_args

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kalshi_ray.core.units import MILLISECOND, SECOND
from kalshi_ray.errors import ConfigError, UnknownName
from kalshi_ray.exchange.sign import KEY_HEADER, SIGNATURE_HEADER, TIME_HEADER, signed_text
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.wire.refusals import refusal
from kalshi_ray.wire.trading import Refused

PublicKey = RSAPublicKey | Ed25519PublicKey
KeyKind = Literal["rsa", "ed25519"]
RSA_BITS = 2048
Headers = Mapping[str, str]  # names in lower case

UNSIGNED = refusal(401, "signature_is_missing_from_headers")
EXPIRED = refusal(401, "header_timestamp_expired")
UNKNOWN_KEY = refusal(401, "authentication_error", "NOT_FOUND")
WRONG_SIGNATURE = refusal(401, "authentication_error", "INCORRECT_API_KEY_SIGNATURE")

_KEY, _TIME, _SIGNATURE = KEY_HEADER.lower(), TIME_HEADER.lower(), SIGNATURE_HEADER.lower()
_PSS = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=SHA256.digest_size)


class Auth:
    """The keys of all accounts. A signature counts while its time is within the window around the exchange's clock."""

    def __init__(self, window_s: float = 5.0) -> None:
        self.window_ns = round(window_s * SECOND)
        self.skew_ns = 0  # the exchange's clock ahead of the one that `now_ns` comes from
        self._keys: dict[str, tuple[PublicKey, Account]] = {}

    def add(self, key_id: str, key: PublicKey, account: Account) -> None:
        """Let the holder of this key act for the account."""
        if key_id in self._keys:
            raise ConfigError(f"the key id {key_id} is taken")
        self._keys[key_id] = (key, account)

    def account_of(self, method: str, path: str, headers: Headers, now_ns: int) -> Account | Refused:
        """Who signed a request or a handshake; `path` is the whole path of the URL."""
        key_id, time, signature = headers.get(_KEY), headers.get(_TIME), headers.get(_SIGNATURE)
        if not key_id or not time or not signature:
            return UNSIGNED
        if not (time.isascii() and time.isdigit() and len(time) < 20):
            return EXPIRED
        if abs(int(time) * MILLISECOND - now_ns - self.skew_ns) > self.window_ns:
            return EXPIRED
        found = self._keys.get(key_id)
        if found is None:
            return UNKNOWN_KEY
        key, account = found
        return account if _is_signed(key, signature, signed_text(time, method, path)) else WRONG_SIGNATURE


def make_key(kind: str) -> tuple[PublicKey, bytes]:
    """A fresh key: its public half, and its private half in PEM for whoever is to sign with it."""
    if kind not in get_args(KeyKind):
        raise UnknownName("kind of key", kind, list(get_args(KeyKind)))
    key = Ed25519PrivateKey.generate() if kind == "ed25519" else generate_private_key(65_537, RSA_BITS)
    return key.public_key(), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def is_signed(headers: Headers) -> bool:
    """Whether a request tries to say who sends it."""
    return _KEY in headers or _SIGNATURE in headers


def _is_signed(key: PublicKey, signature: str, text: bytes) -> bool:
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, text)
        else:
            key.verify(raw, text, _PSS, SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
