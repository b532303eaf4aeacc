"""Joining and starting Ray: what cannot work is refused at once."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
import ray
from ray._private import services

from kalshi_ray.errors import ConfigError, UsageError
from kalshi_ray.train import ray_session as ray_session_module
from kalshi_ray.train.ray_session import RaySettings, ray_session


def test_an_address_where_nothing_answers_is_refused_at_once() -> None:
    with socket.socket() as taken:  # bound and not listening: the port refuses
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"no Ray answers at {address}"), ray_session(RaySettings(address=address)):
            pass


@pytest.mark.parametrize("address", ["head", "head:port", ""])
def test_an_address_must_be_host_and_port(address: str) -> None:
    with pytest.raises(UsageError, match="host:port"), ray_session(RaySettings(address=address)):
        pass


@pytest.mark.ray
def test_a_ray_that_another_program_started_for_itself_is_not_joined() -> None:
    """It would end with that program."""
    other = "import ray; ray.init(address='local', num_cpus=1, include_dashboard=False); print('begun'); input()"
    command = [sys.executable, "-u", "-c", other]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None and program.stdout is not None
        assert b"begun\n" in iter(program.stdout.readline, b""), "whatever Ray says before"
        theirs = services.find_gcs_addresses()
        with ray_session(RaySettings(cpus=1, store_mib=80)):
            ours = ray.get_runtime_context().gcs_address
        program.stdin.close()
    assert theirs and ours not in theirs


def test_a_ray_that_was_begun_for_all_is_joined_unless_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as head:
        head.bind(("127.0.0.1", 0))  # and not listening yet: nobody else gets the port, and it refuses
        address = f"127.0.0.1:{head.getsockname()[1]}"
        monkeypatch.setattr(services, "find_bootstrap_address", lambda folder: address)
        assert ray_session_module._shared() == "local"
        head.listen()
        assert ray_session_module._shared() == address


def test_an_object_store_smaller_than_ray_takes_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 75"), ray_session(RaySettings(address="local", store_mib=50)):
        pass
