"""The shown book against its definition, and that it never crosses on the way from one state to the next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.exchange.simulator.display import Display
from kalshi_ray.exchange.simulator.flow import ASK, BID, NO_ASK, NO_BID, FlowBook
from kalshi_ray.exchange.simulator.orders import Ladder, Level
from kalshi_ray.wire.messages import BookDelta
from tests.exchange.simulator import scenes
from tests.exchange.simulator.scenes import Scene

PRICES = st.integers(45, 55)
CHANGES = st.lists(st.tuples(st.integers(0, 1), PRICES, st.integers(-20, 30)), max_size=40)
OWN = st.tuples(
    st.dictionaries(st.integers(45, 49), st.integers(1, 9)), st.dictionaries(st.integers(50, 55), st.integers(1, 9))
)


def ladders_of(own: tuple[dict[int, int], dict[int, int]]) -> tuple[Ladder, Ladder]:
    """Orders of accounts as lots by price, uncrossed."""
    ladders = (Ladder(BID), Ladder(ASK))
    for ladder, lots in zip(ladders, own):
        for price, size in lots.items():
            level = ladder.levels[price] = Level()
            level.lots = size
            ladder.count += 1
        none = (NO_BID, NO_ASK)[ladder.side]
        ladder.best = max(lots, default=none) if ladder.side == BID else min(lots, default=none)
    return ladders


def defined(flow: FlowBook, own: tuple[dict[int, int], dict[int, int]]) -> tuple[dict[int, int], dict[int, int]]:
    """What is to be shown, by the words of the module."""
    visible = [{p: flow.left(side, p) for p in flow.recorded[side] if flow.left(side, p)} for side in (BID, ASK)]
    visible[BID] = {p: s for p, s in visible[BID].items() if all(p < ask for ask in own[ASK])}
    visible[ASK] = {p: s for p, s in visible[ASK].items() if all(p > bid for bid in own[BID])}
    while visible[BID] and visible[ASK] and max(visible[BID]) >= min(visible[ASK]):
        bid, ask = max(visible[BID]), min(visible[ASK])
        if flow.stamps[BID][bid] <= flow.stamps[ASK][ask]:
            del visible[BID][bid]
        else:
            del visible[ASK][ask]
    for side in (BID, ASK):
        for price, lots in own[side].items():
            visible[side][price] = visible[side].get(price, 0) + lots
    return visible[BID], visible[ASK]


@given(changes=CHANGES, own=OWN)
def test_the_shown_book_is_what_its_definition_says(
    changes: list[tuple[int, int, int]], own: tuple[dict[int, int], dict[int, int]]
) -> None:
    """After each change of the flow, crossed recordings included; told as differences that never cross a book."""
    flow, display, ladders = FlowBook(), Display(), ladders_of(own)
    display.touched.update((ladder.side, price) for ladder in ladders for price in ladder.levels)
    told: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for side, price, change in [(BID, 1, 0), *changes]:
        if flow.recorded[side].get(price, 0) + change < 0:
            continue
        flow.change(side, price, change)
        display.touched.add((side, price))
        for at, where, lots in display.refresh(flow, ladders):
            told[at][where] = told[at].get(where, 0) + lots
            assert told[at][where] >= 0
            if not told[at][where]:
                del told[at][where]
            assert max(told[BID], default=NO_BID) < min(told[ASK], default=NO_ASK)
        assert told == display.shown == defined(flow, own)
        assert display.touch[:2] == (max(told[BID], default=NO_BID), min(told[ASK], default=NO_ASK))


def test_a_change_names_the_order_that_caused_it() -> None:
    """Told to its owner alone; what the flow does is nobody's."""
    scene = Scene()
    scene.flow({40: 5})
    scene.place(0, scenes.BID, 45, 2, client_order_id="mine")
    scene.print(scenes.ASK, 45, 1)
    causes = [happening.cause for happening in scene.said if isinstance(happening.value, BookDelta)]  # type: ignore[union-attr]
    assert [cause and (cause.account, cause.client_order_id) for cause in causes] == [
        None, (scene.accounts[0], "mine"), None,
    ]  # fmt: skip


def test_flow_of_one_level_without_lots_left_shows_nothing() -> None:
    scene = Scene()
    scene.flow({40: 5}, {50: 5})
    scene.place(0, scenes.BID, 50, 5)
    assert scene.book() == ({40: 5}, {})
    assert scene.market.book.flow.recorded[ASK] == {5_000: 500}
    scene.change(scenes.ASK, 50, 2)
    assert scene.book() == ({40: 5}, {50: 2})
