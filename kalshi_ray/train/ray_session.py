"""A Ray to work in: the one that runs, or a small quiet one on this machine."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import ray
from ray._private import services  # what a bare `ray.init()` looks up: there is no public way to ask first

from kalshi_ray.errors import ConfigError, UsageError

MIB = 2**20
SMALLEST_STORE_MIB = 75


class RaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which Ray to use. A job submitted to a cluster joins that cluster whatever stands here."""

    # auto: join the one of RAY_ADDRESS or of `ray start`, else start one; local: always start one; or an address.
    address: str = "auto"
    # CPUs of a Ray started here; 0: all that this process may use.
    cpus: int = 0
    # Object store of a Ray started here, MiB.
    store_mib: int = 512


@contextmanager
def ray_session(settings: RaySettings | None = None) -> Iterator[None]:
    """Join or start Ray; what was started here is stopped at the end. Does nothing inside a running session."""
    if ray.is_initialized():
        yield
        return
    quieten()
    _open(settings or RaySettings())
    try:
        yield
    finally:
        ray.shutdown()


def quieten() -> None:
    """Only errors of Ray and RLlib reach the console."""
    for name in ("ray", "ray.rllib", "ray.tune", "ray._private.worker"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # A runner that dies is replaced and told of by the training loop; RLlib adds tracebacks of nothing.
    logging.getLogger("ray.rllib.utils.actor_manager").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"ray\..*")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"ray\..*")


def _open(settings: RaySettings) -> None:
    address = _shared() if settings.address == "auto" else settings.address
    if address != "local":
        _require_answer(address)
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        return
    if settings.store_mib < SMALLEST_STORE_MIB:
        raise ConfigError(f"ray.store_mib = {settings.store_mib}: Ray needs at least {SMALLEST_STORE_MIB}")
    # Ray's core warns once for every env runner that its arguments lie in the object store, where RLlib puts them.
    os.putenv("RAY_BACKEND_LOG_LEVEL", "fatal")
    with _stderr_if_it_fails():
        ray.init(
            address="local",
            num_cpus=settings.cpus or len(os.sched_getaffinity(0)),
            object_store_memory=settings.store_mib * MIB,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


@contextmanager
def _stderr_if_it_fails() -> Iterator[None]:
    """Hold back what Ray's core writes while it starts, and show it only if it does not start."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _shared() -> str:
    """The Ray named by RAY_ADDRESS, or the one of `ray start` on this machine; "local" where there is none.

    Ray's own "auto" also joins what another program has started for itself, and ends this one when that one ends.
    """
    begun = services.find_bootstrap_address(None)
    address: str | None = services.get_ray_address_from_environment(None, None)
    if address is None:
        return "local"
    if address == begun:
        try:
            _require_answer(address)
        except UsageError:  # it was stopped without a word
            return "local"
    return address


def _require_answer(address: str) -> None:
    """Ray itself tries for minutes and then ends the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Ray answers at {address}: {error}",
            remedy="Give ray.address as host:port, or local to start one here",
        ) from error
