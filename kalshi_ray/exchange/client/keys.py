"""The exchange and the key that the settings name: a simulator's ready file, a key file, a variable."""

from __future__ import annotations

import stat
from pathlib import Path

from kalshi_ray import config, telemetry
from kalshi_ray.errors import ConfigError
from kalshi_ray.exchange.settings import Address, ExchangeSettings, ReadyFile, address_of, read_ready
from kalshi_ray.exchange.sign import Secret, Signer, signer_of

LARGEST_KEY = 65_536  # bytes


def opened(settings: ExchangeSettings) -> tuple[Address, Signer | None]:
    """The addresses to use and the signer, None where there is no key: public reads need none."""
    ready = _ready(settings)
    address = address_of(settings, ready)
    return address, key_of(settings, ready)


def key_of(settings: ExchangeSettings, ready: ReadyFile | None = None) -> Signer | None:
    """The signer of the key that the settings name, or else of the simulator's account."""
    if settings.private_key_file:
        return signer_of(settings.key_id, _from_file(Path(settings.private_key_file).expanduser()))
    if ready is not None and not settings.key_id:
        version = _version(Path(settings.ready_file))
        signer = _simulated(settings, ready)
        return None if signer is None else _SimulatedSigner(settings, signer, version)
    name = settings.private_key_variable
    if name and config.variable(name):
        # Written with \n in files of variables, which hold one line each.
        origin = f"the variable {name}"
        return signer_of(settings.key_id, Secret(config.variable(name).replace("\\n", "\n").encode(), origin))
    if settings.key_id:
        remedy = "Set exchange.private_key_file" + (f" or the variable {name}" if name else "")
        raise ConfigError("exchange.key_id is set and there is no private key", remedy=remedy)
    return None


def readers_of(path: Path) -> str:
    """Who but its owner may read a key file: "group", "everybody", or nobody, which is empty."""
    mode = path.stat().st_mode
    if mode & stat.S_IROTH:
        return "everybody"
    return "group" if mode & stat.S_IRGRP else ""


def _simulated(settings: ExchangeSettings, ready: ReadyFile) -> Signer | None:
    if not ready.accounts:
        return None
    if settings.account >= len(ready.accounts):
        raise ConfigError(f"exchange.account = {settings.account}: the simulator has {len(ready.accounts)} accounts")
    account = ready.accounts[settings.account]
    return signer_of(account.key_id, _from_file(Path(settings.ready_file).parent / account.private_key_file))


class _SimulatedSigner(Signer):
    """Signs for an account of a simulator. One that is started again has other keys, and another ready file."""

    def __init__(self, settings: ExchangeSettings, signer: Signer, version: tuple[int, int] | None) -> None:
        super().__init__(signer.key_id, signer.kind, signer._sign)
        self._settings, self._version = settings, version

    def headers(self, method: str, path: str, now_ns: int) -> dict[str, str]:
        """As those of any signer, with the key that the ready file names now."""
        version = _version(Path(self._settings.ready_file))
        if version is not None and version != self._version:
            self._renew(version)
        return super().headers(method, path, now_ns)

    def _renew(self, version: tuple[int, int]) -> None:
        try:
            ready = _ready(self._settings)
            signer = _simulated(self._settings, ready) if ready is not None else None
        except ConfigError as problem:  # the key that we have is refused, which says the rest
            telemetry.warning("exchange.ready_file", problem=str(problem))
            return
        if signer is not None:
            self.key_id, self.kind, self._sign, self._version = signer.key_id, signer.kind, signer._sign, version


def _version(path: Path) -> tuple[int, int] | None:
    """Which file stands under a name; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _ready(settings: ExchangeSettings) -> ReadyFile | None:
    if settings.environment != "local":
        return None
    path = Path(settings.ready_file)
    if settings.rest_url and not path.exists():
        return None
    try:
        ready = read_ready(path.read_bytes(), str(path))
    except OSError as problem:
        raise ConfigError(
            f"no simulator: cannot read {path}: {problem.strerror}",
            remedy=f"Start one with `kalshi-ray simulate --ready-file {path}`, or choose exchange.environment = demo",
        ) from problem
    # An address of its own means another simulator, whose accounts are not those of the file.
    return None if settings.rest_url and settings.rest_url.rstrip("/") != ready.rest.rstrip("/") else ready


def _from_file(path: Path) -> Secret:
    try:
        if path.stat().st_size > LARGEST_KEY:
            raise ConfigError(f"{path} is too large to be a private key")
        readers = readers_of(path)
        if readers:
            telemetry.warning("exchange.key_readable", file=str(path), by=readers, remedy=f"chmod 600 {path}")
        return Secret(path.read_bytes(), str(path))
    except OSError as problem:
        raise ConfigError(
            f"cannot read the private key {path}: {problem.strerror}",
            remedy="If a simulator wrote it, that has ended: start one again",
        ) from problem
