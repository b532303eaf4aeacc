"""Joining and starting Ray: what cannot work is refused at once."""

from __future__ import annotations

import socket

import pytest

from kalshi_ray.errors import ConfigError, UsageError
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


def test_an_object_store_smaller_than_ray_takes_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 75"), ray_session(RaySettings(address="local", store_mib=50)):
        pass
