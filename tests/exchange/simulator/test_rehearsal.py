"""The work that benchmarks time is carried out, and leaves the exchange in order."""

from __future__ import annotations

from kalshi_ray.exchange.simulator.rehearsal import changes_of_flow, place_and_cancel, quiet_exchange, replay


def test_every_command_and_every_change_has_its_effect() -> None:
    exchange = quiet_exchange()
    assert place_and_cancel(exchange, 50) == 100
    assert place_and_cancel(exchange, 50, first=50) == 100
    changes = changes_of_flow(500)
    exchange.drain()
    assert replay(exchange, changes) >= len(changes)
    exchange.audit()
