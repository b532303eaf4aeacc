"""The same for what is not this machine: the exchange with its clock and the key for it, and Ray."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kalshi_ray import config
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import AuthenticationFailed, ConfigError, ExchangeDown, ExchangeError
from kalshi_ray.exchange.client import ExchangeClient, opened, readers_of, run
from kalshi_ray.exchange.rest import skew_words
from kalshi_ray.exchange.settings import ExchangeSettings
from kalshi_ray.exchange.sign import Signer
from kalshi_ray.ops.doctor import Check, store
from kalshi_ray.wire import bodies, requests
from kalshi_ray.wire.listing import ExchangeStatus
from kalshi_ray.wire.numbers import money_text

if TYPE_CHECKING:
    from kalshi_ray.train.ray_session import RaySettings

PATIENCE_S = 5.0
NOTICED_NS = SECOND  # a skew worth a word
MIB = 2**20
SHARED_MEMORY = Path("/dev/shm")


def exchange(settings: ExchangeSettings) -> Iterator[Check]:
    """The key, the exchange, the clock and the account, as far as one gets."""
    try:
        address, signer = opened(settings)
    except ConfigError as problem:
        # Nobody has to run a simulator: only who named a key or a place is told that it is wrong.
        is_usual = settings == ExchangeSettings() and not Path(settings.ready_file).exists()
        yield Check("exchange", "warn" if is_usual else "FAIL", str(problem))
        return
    yield _key(settings, signer)
    patient = msgspec.structs.replace(settings, timeout_s=min(settings.timeout_s, PATIENCE_S), attempts=1)

    try:
        yield from run(patient, _answers)
    except ExchangeDown as problem:
        remedy = "Start it: `kalshi-ray simulate`" if address.is_loopback else "Check the network and the proxy"
        yield Check("exchange", "FAIL", str(problem).partition(". `")[0], remedy)


async def _answers(client: ExchangeClient) -> list[Check]:
    found = [_state(client, await client.ask(requests.get_status(), bodies.read_status)), _clock(client)]
    if client.signer is None:
        return found
    try:
        balance = await client.ask(requests.get_balance(), bodies.read_balance)
    except AuthenticationFailed as problem:
        return [*found, Check("account", "FAIL", str(problem))]
    except ExchangeError as problem:
        return [*found, Check("account", "warn", str(problem))]
    return [*found, Check("account", "ok", f"the key is accepted; cash ${money_text(balance.cash)}")]


def _key(settings: ExchangeSettings, signer: Signer | None) -> Check:
    if signer is None:
        remedy = "Set exchange.key_id and exchange.private_key_file"
        return Check("key", "warn", "no key: market prices can be read, streams and orders need one", remedy)
    path = Path(settings.private_key_file).expanduser() if settings.private_key_file else None
    readers = readers_of(path) if path else ""
    if readers:
        return Check("key", "warn", f"{path} can be read by {readers}", f"chmod 600 {path}")
    return Check("key", "ok", f"{signer.kind} key {signer.key_id}")


def _state(client: ExchangeClient, status: ExchangeStatus) -> Check:
    where = f"{client.address.environment}, {client.address.rest}"
    if not status.exchange_active:
        return Check("exchange", "warn", f"{where}: closed", "See the exchange's schedule")
    if not status.trading_active:
        return Check("exchange", "warn", f"{where}: open, trading paused", "Orders can be cancelled, not placed")
    return Check("exchange", "ok", f"{where}: trading")


def _clock(client: ExchangeClient) -> Check:
    if client.skew is None:
        return Check("clock", "warn", "the exchange does not say its time", "Keep this clock right with NTP")
    skew, doubt = client.skew
    certain = max(0, abs(skew) - doubt)
    found = f"{skew_words(skew)}, give or take {doubt / SECOND:.1f} s"
    remedy = "Set the clock of this machine, for example with NTP"
    if certain > client.settings.most_skew_s * SECOND:
        return Check("clock", "FAIL", f"{found}: signatures will be refused", remedy)
    return Check("clock", "warn", found, remedy) if certain > NOTICED_NS else Check("clock", "ok", found)


def database(url: str) -> list[Check]:
    """The PostgreSQL that the store is in, and the sessions there, as far as one gets."""
    from kalshi_ray.data.catalog import open_backend  # on call: the client of a database may be what is broken
    from kalshi_ray.data.catalog.status import read_status

    found = read_status(open_backend(url, patience_s=PATIENCE_S))
    said = f"PostgreSQL {found.server} at {found.url}, role {found.role}"
    rights = "See docs/postgres.md, Rights"
    if found.state == "foreign":
        tables = ", ".join(found.foreign)
        return [Check("database", "FAIL", f"{said}; tables {tables} are not ours", "Name another schema: ?schema=…")]
    if found.state in ("older", "newer"):
        remedy = "kalshi-ray database migrate" if found.state == "older" else "Upgrade kalshi-ray"
        return [Check("database", "FAIL", f"{said}; schema {found.version}, this speaks {found.speaks}", remedy)]
    if not found.can_read:
        return [Check("database", "FAIL", f"{said}, which may not read schema {found.schema}", rights)]
    if not found.can_write:
        return [Check("database", "warn", f"{said}, which may only read", rights), store(url)]
    return [Check("database", "ok", said), store(url)]


def ray(address: str, store_mib: int) -> Check:
    """Whether Ray can be used, and which one would be."""
    try:
        import ray as library  # on call: it takes a second, and may be what is broken
    except ImportError as problem:
        return Check("ray", "FAIL", f"cannot be imported: {problem}", "pip install -c constraints.txt -e .")
    named = address if address not in ("auto", "local") else config.variable("RAY_ADDRESS")
    if named and address != "local":
        return Check("ray", "ok", f"Ray {library.__version__}, joining {named}")
    free = shutil.disk_usage(SHARED_MEMORY).free // MIB if SHARED_MEMORY.is_dir() else 0
    found = f"Ray {library.__version__}, started here; {free:,} MiB of shared memory for a store of {store_mib:,}"
    if free < store_mib:
        return Check("ray", "warn", found, f"Enlarge {SHARED_MEMORY} (docker: --shm-size), or lower ray.store_mib")
    return Check("ray", "ok", found)


def ray_starts(settings: RaySettings) -> Check:
    """Start or join Ray as training does, and leave it."""
    from kalshi_ray.train.ray_session import ray_session  # on call: torch and Ray

    with ray_session(settings):
        import ray as library

        cores = library.cluster_resources().get("CPU", 0)
    return Check("ray starts", "ok", f"with {cores:g} CPUs")
