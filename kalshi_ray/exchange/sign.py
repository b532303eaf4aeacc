"""Signatures of requests. Keys never show: not in a repr, an error, a log or a pickle.

The text that is signed is the time in milliseconds, the method and the path without its query, with nothing between.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kalshi_ray.core.units import MILLISECOND
from kalshi_ray.errors import ConfigError

KEY_HEADER = "KALSHI-ACCESS-KEY"
TIME_HEADER = "KALSHI-ACCESS-TIMESTAMP"
SIGNATURE_HEADER = "KALSHI-ACCESS-SIGNATURE"

SMALLEST_RSA_BITS = 2048
# A salt as long as the digest.
_PSS = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=SHA256.digest_size)

_SHOWN = "Download the private key of the API key again, as unencrypted PEM, RSA or Ed25519"


class Secret:
    """Bytes that show where they came from and nothing else. `reveal` hands them to what needs them."""

    __slots__ = ("_content", "origin")

    def __init__(self, content: bytes, origin: str) -> None:
        self._content, self.origin = content, origin

    def reveal(self) -> bytes:
        """The bytes themselves. Keep them in no variable: a traceback may print it."""
        return self._content

    def __repr__(self) -> str:
        return f"Secret(from {self.origin})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: load it where it is used")


class Signer:
    """Signs in the name of one API key."""

    __slots__ = ("_sign", "key_id", "kind")

    def __init__(self, key_id: str, kind: str, sign: Callable[[bytes], bytes]) -> None:
        self.key_id, self.kind, self._sign = key_id, kind, sign

    def headers(self, method: str, path: str, now_ns: int) -> dict[str, str]:
        """The three headers of a request or of a WebSocket handshake. `path` is the whole path of the URL."""
        time = str(now_ns // MILLISECOND)
        signature = self._sign(signed_text(time, method, path))
        return {
            KEY_HEADER: self.key_id,
            TIME_HEADER: time,
            SIGNATURE_HEADER: base64.b64encode(signature).decode(),
        }

    def __repr__(self) -> str:
        return f"Signer({self.kind} key {self.key_id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not pickled: load the key where it is used")


def signed_text(time_ms: str, method: str, path: str) -> bytes:
    """What a signature stands for. The query and the body are not part of it."""
    return f"{time_ms}{method.upper()}{path.partition('?')[0]}".encode()


def signer_of(key_id: str, pem: Secret) -> Signer:
    """The signer of a private key in PEM. ConfigError where it is encrypted, damaged or of another kind."""
    if not key_id:
        raise ConfigError(f"the private key from {pem.origin} has no key id", remedy="Set exchange.key_id")
    if not key_id.isascii() or not key_id.isprintable() or " " in key_id:
        raise ConfigError("exchange.key_id is not an id such as 123e4567-e89b-12d3-a456-426614174000")
    key = _loaded(pem)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Signer(key_id, "Ed25519", key.sign)
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < SMALLEST_RSA_BITS:
            raise ConfigError(f"the RSA key from {pem.origin} has {key.key_size} bits", remedy=_SHOWN)
        return Signer(key_id, "RSA", lambda text: key.sign(text, _PSS, SHA256()))
    kind = type(key).__name__.removesuffix("PrivateKey")
    raise ConfigError(f"the key from {pem.origin} is of kind {kind}", remedy=_SHOWN)


def _loaded(pem: Secret) -> object:
    try:
        return load_pem_private_key(pem.reveal(), password=None)
    except TypeError:
        raise ConfigError(f"the private key from {pem.origin} is encrypted", remedy=_SHOWN) from None
    except (ValueError, UnsupportedAlgorithm):
        # The library's own message may quote what it could not read.
        raise ConfigError(f"what {pem.origin} holds is no private key in PEM", remedy=_SHOWN) from None
