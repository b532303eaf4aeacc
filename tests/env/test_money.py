"""Every micro is accounted for: fills, fees, marks, gaps, settlement, the end of a tape, the refund of the ramp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.orders import QUOTE
from kalshi_ray.env.settings import EnvSettings
from tests.env.ledger import Ledger, booked, fee_of
from tests.env.play import Play
from tests.env.random_tapes import random_tape
from tests.tapes import Rows, book, change, gap, mirrored, pack_of, settle, trade

BANKROLL = 100_000_000  # micros
QUIET = book(0, {45: 100}, {48: 100})
TICKS: Rows = [one for step in range(1, 40) for one in change(step * 0.3, "bid", 30, 1)]
END = change(30, "bid", 30, 1)
SPACES = ["sized21", "sized21-join", "sized21-improve", "priced7", "generic[1,40;take,inside,join,improve]"]


def random_step(play: Play, chance: np.random.Generator) -> None:
    """A random legal action, or now and then random desired orders around the touch."""
    if chance.random() < 0.7:
        play.step(int(np.argmax(chance.random(play.mask.shape) * play.mask)))
        return
    middle = int(play.feature("yes_mid") * 100)
    quotes = np.zeros(1, QUOTE)
    quotes["bid_price"] = (middle - chance.integers(-2, 4)) * 100
    quotes["ask_price"] = (middle + chance.integers(-2, 4)) * 100
    quotes["bid_size"], quotes["ask_size"] = chance.integers(0, 60, 2) * 50
    quotes["bid_takes"], quotes["ask_takes"] = chance.random(2) < 0.3
    play.env.step_quotes_into(quotes, play.batch)
    play._after()


@given(
    seed=st.integers(0, 100_000),
    space=st.sampled_from(SPACES),
    model=st.sampled_from(["pessimistic", "fitted", "optimistic"]),
    member=st.sampled_from(["direct", "cleared"]),
    result=st.sampled_from([None, 0.0, 100.0, 33.33]),
)
def test_an_independent_ledger_agrees_to_the_micro_at_every_step(
    seed: int, space: str, model: str, member: str, result: float | None
) -> None:
    """Cash, position, fees, equity and reward over random actions and quotes, and the payout of the venue's result."""
    play = Play(
        pack_of(random_tape(seed, moments=80, result=result)),
        action_space=space, fill_model=model, member=member, mask_opposite_buy=bool(seed % 2), latency_spread=0.5,
        reward_unit="dollars", bankroll_cents=10_000 if seed % 3 else 900,
    )  # fmt: skip
    bankroll = int(play.settings.rules()["bankroll"][0])
    chance = np.random.default_rng(seed)
    ledger, seen, equity = Ledger(bankroll), 0, bankroll
    while not play.over:
        random_step(play, chance)
        fills, seen = play.raw_fills[seen:], len(play.raw_fills)
        booked(ledger, fills)
        if play.over:
            break
        account = play.trader["account"]
        assert (ledger.cash, ledger.position, ledger.fees) == tuple(
            int(account[name]) for name in ("cash", "position", "fees")
        )
        assert int(account["cash"]) == bankroll - int(account["cost"]) + int(account["realized"]) - ledger.fees
        now = ledger.equity(int(play.trader["mark_bid"]), int(play.trader["mark_ask"]))
        assert int(play.trader["equity"]) == now
        assert play.rewards[-1] == pytest.approx((now - equity) * 1e-6, abs=1e-5)
        assert ledger.cash >= 0
        assert int(play.trader["fault"]) == 0
        equity = now
    episode = play.episode
    if play.over == "settled":
        assert result is not None
        assert int(episode["equity_end"]) == int(episode["cash_end"]) == ledger.settled(round(result * 100))
    else:
        assert int(episode["cash_end"]) == ledger.cash
        assert int(episode["equity_end"]) == ledger.equity(int(episode["mark_bid"]), int(episode["mark_ask"]))
    assert int(episode["position_end"]) == ledger.position
    assert play.rewards[-1] == pytest.approx((int(episode["equity_end"]) - equity) * 1e-6, abs=1e-5)
    assert float(episode["reward_sum"]) == pytest.approx((int(episode["equity_end"]) - bankroll) * 1e-6, abs=1e-9)


@given(seed=st.integers(0, 100_000), space=st.sampled_from(["sized21", "sized21-join"]))
def test_fees_are_those_of_the_published_formula_up_to_the_rounding_of_each_fill(seed: int, space: str) -> None:
    """Within a micro and a unit of the precision a fill; an order gives back what it rounded too much."""
    play = Play(pack_of(random_tape(seed, moments=80)), action_space=space)
    chance = np.random.default_rng(seed)
    while not play.over:
        random_step(play, chance)
    table = play.env.pack.views[0]
    by_order: dict[int, list[float]] = {}
    for fill in play.raw_fills:
        rates = {int(table["maker_ppm"]), 0} if fill["maker"] else {int(table["taker_ppm"])}
        gaps = [float(int(fill["fee"]) - fee_of(int(fill["size"]), int(fill["price"]), rate)) for rate in rates]
        gap = min(gaps, key=abs)
        assert -100 <= gap < 101
        by_order.setdefault(int(fill["order_id"]), []).append(gap)
    for gaps in by_order.values():
        assert 0 <= round(sum(gaps), 6) < 101 + len(gaps)


# -- marks


def test_a_long_position_is_marked_at_the_bid_and_a_short_one_at_the_ask() -> None:
    for intent, value in (("BUY_YES", 10 * 450_000), ("BUY_NO", 10 * 520_000)):
        play = Play(pack_of(QUIET, TICKS, END))
        play.act(intent, 10)
        play.until(0.9)
        assert int(play.trader["equity"]) - play.cash == value


def test_a_vanished_side_of_a_known_book_is_worth_the_worst() -> None:
    """No bid: a long position is worth nothing; no ask: a short one is worth nothing. Both come back."""
    for intent, side, cents, value in (("BUY_YES", "bid", 45, 450_000), ("BUY_NO", "ask", 48, 520_000)):
        play = Play(pack_of(QUIET, change(2, side, cents, -100), change(4, side, cents, 50), END))
        play.act(intent, 10)
        play.until(2)
        assert int(play.trader["equity"]) == play.cash
        play.until(4)
        assert int(play.trader["equity"]) == play.cash + 10 * value


def test_an_unknown_book_keeps_its_last_mark_and_the_jump_is_booked_at_the_first_known_one() -> None:
    """Marked at 45; after the gap the bid stands at 20: the step across the gap carries the whole loss."""
    play = Play(pack_of(QUIET, TICKS[:5], gap(3), change(4, "bid", 44, 1), book(6, {20: 10}, {60: 10}), END))
    play.act("BUY_YES", 10)
    while play.now < 3 and not play.over:
        before = int(play.trader["equity"])
        play.step(0)
    assert play.now == pytest.approx(6.055)
    assert int(play.trader["equity"]) - before == 10 * (200_000 - 450_000)
    assert play.rewards[-1] == pytest.approx(-2.5)


def test_a_tape_that_ends_in_a_gap_keeps_the_last_mark_and_says_so() -> None:
    play = Play(pack_of(QUIET, TICKS[:5], gap(3)))
    play.act("BUY_YES", 10)
    play.finish()
    assert play.over == "tape ended"
    assert int(play.episode["book_known"]) == 0
    assert int(play.episode["equity_end"]) == int(play.episode["cash_end"]) + 10 * 450_000
    assert int(play.episode["ladder_value"]) == 0
    assert np.isfinite(play.batch.final_observation).all()


# -- the end


@pytest.mark.parametrize(("result", "paid"), [(100, 1_000_000), (0, 0), (37, 370_000)])
def test_settlement_terminates_and_pays_exactly(result: float, paid: int) -> None:
    """10 YES, and 10 NO bought at 55 in another play."""
    for intent, value in (("BUY_YES", paid), ("BUY_NO", 1_000_000 - paid)):
        play = Play(pack_of(QUIET, TICKS, settle(13, result)))
        play.act(intent, 10)
        play.until(5)
        cash = play.cash
        play.finish()
        assert play.over == "settled"
        assert bool(play.batch.terminated[0])
        assert not play.batch.truncated[0]
        assert int(play.episode["equity_end"]) == int(play.episode["cash_end"]) == cash + 10 * value


def test_a_scalar_result_below_a_cent_pays_whole_cents_and_the_rest_is_a_fee() -> None:
    """7 YES at 33.33 cents are $2.3331: $2.33 are paid."""
    play = Play(pack_of(book(0, {45: 100}, {48: 7}), TICKS, settle(13, 33.33)))
    play.act("BUY_YES", 10)
    play.until(5)
    cash, fees = play.cash, int(play.trader["account"]["fees"])
    play.finish()
    assert int(play.episode["equity_end"]) == cash + 2_330_000
    assert int(play.episode["fees"]) == fees + 3_100


def test_the_end_of_a_tape_truncates_charges_nothing_and_says_what_the_ladder_would_bring() -> None:
    """Long 20 with bids of 4 at 45, 6 at 44 and 5 at 30: 15 find a price less taker fees, 5 are worth nothing."""
    thin = change(5, "bid", 45, -96) + change(5, "bid", 44, 6)
    play = Play(pack_of(QUIET, TICKS[:5], thin, change(6, "ask", 60, 1)))
    play.act("BUY_YES", 20)
    play.until(4)
    cash = play.cash
    play.finish()
    assert bool(play.batch.truncated[0])
    assert not play.batch.terminated[0]
    assert int(play.episode["cash_end"]) == cash
    assert int(play.episode["equity_end"]) == cash + 20 * 450_000
    walked = ((400, 4_500), (600, 4_400), (500, 3_000))
    fees = sum(int(np.ceil(float(fee_of(size, price, 70_000)))) for size, price in walked)
    assert int(play.episode["ladder_value"]) == sum(size * price for size, price in walked) - fees


def test_the_episode_record_counts_what_happened() -> None:
    play = Play(pack_of(QUIET, TICKS, END))
    play.act("BUY_YES", 10)
    play.until(0.9)
    play.act("SELL_YES", 5)
    play.finish()
    episode = play.episode
    assert (int(episode["orders_sent"]), int(episode["orders_filled"]), int(episode["fills"])) == (2, 2, 2)
    assert int(episode["traded"]) == 1_500
    assert int(episode["stake"]) == 4_800_000
    assert int(episode["spread_cost"]) == 10 * 30_000
    assert int(episode["steps"]) == int(episode["holds"]) + 2
    assert int(episode["max_drawdown"]) >= 10 * 30_000
    assert int(episode["peak_exposure"]) >= 4_800_000


# -- shaping and the ramp


@given(share=st.sampled_from([0.0, 0.25, 0.5, 0.999]), seed=st.integers(0, 10_000))
def test_the_refund_of_the_cost_ramp_is_exactly_the_share_and_stands_apart(share: float, seed: int) -> None:
    """For every fill (spread paid to open + fee) x (1 - share), floored to the micro; the fills are the same."""
    pack = pack_of(random_tape(seed, moments=60))
    paths = []
    for cost_share in (1.0, share):
        play = Play(pack, bankroll_cents=10_000_000)
        play.env.set_cost_share(cost_share)
        chance, refund, heard, spread = np.random.default_rng(seed), 0, 0, 0
        while not play.over:
            play.step(int(np.argmax(chance.random(play.mask.shape) * (play.mask & (np.arange(21) < 11)))))
            for fill in play.raw_fills[heard:]:
                side, size = int(fill["side"]), int(fill["size"])
                before = int(fill["position"]) - side * size
                opening = size - min(size, max(0, -side * before))
                paid = int(fill["price"]) - int(fill["bid"]) if side > 0 else int(fill["ask"]) - int(fill["price"])
                two_sided = fill["bid"] > 0 if side > 0 else fill["ask"] < 10_000
                cost = max(0, paid) * opening * (not fill["maker"] and two_sided)
                spread += cost
                refund += (cost + int(fill["fee"])) * (1_000_000 - round(cost_share * 1e6)) // 1_000_000
            heard = len(play.raw_fills)
        assert int(play.episode["refund"]) == refund
        assert int(play.episode["spread_cost"]) == spread
        paths.append((play.fills, int(play.episode["cash_end"]) - refund))
    assert paths[0] == paths[1]


def test_a_purchase_without_a_bid_is_no_free_ticket_of_the_ramp() -> None:
    """Nothing can be paid for a spread that does not exist: only the fee is refunded."""
    play = Play(pack_of(book(0, {}, {10: 100}), change(2, "ask", 11, 10), change(5, "ask", 12, 10)))
    play.env.set_cost_share(0.0)
    play.act("BUY_YES", 10)
    account = play.trader["account"]
    assert play.position == 10
    assert int(account["refund"]) == int(account["fees"]) > 0
    assert play.cash == 100_000_000 - 10 * 100_000


def test_shaping_terms_are_added_to_the_reward_and_leave_the_money_alone() -> None:
    """fee-0.1-hold: a tenth of the spread paid again and a bonus for each HOLD."""
    pack = pack_of(QUIET, TICKS, END)
    played = {}
    for reward in ("pure", "fee-0.1-hold"):
        play = Play(pack, reward=reward)
        play.act("BUY_YES", 10)
        play.finish()
        played[reward] = play
    pure, shaped = played["pure"], played["fee-0.1-hold"]
    assert int(pure.episode["equity_end"]) == int(shaped.episode["equity_end"])
    extra = sum(shaped.rewards) - sum(pure.rewards)
    assert extra == pytest.approx(-0.1 * 10 * 0.03 + 0.0001 * int(shaped.episode["holds"]), abs=1e-5)


@pytest.mark.parametrize(("unit", "worth"), [("cents", 1e-4), ("dollars", 1e-6), ("scaled", 1e-7)])
def test_the_reward_is_the_change_of_equity_in_its_unit(unit: str, worth: float) -> None:
    play = Play(pack_of(QUIET, TICKS, END), reward_unit=unit)
    play.act("BUY_YES", 10)
    play.finish()
    gained = int(play.episode["equity_end"]) - BANKROLL
    assert sum(play.rewards) == pytest.approx(gained * worth, rel=1e-5)


# -- symmetry


def mirror_id(settings: EnvSettings, action: int) -> int:
    """The action that does the same with YES and NO swapped."""
    table = settings.actions.table
    twins = {0: 0, 1: 3, 2: 4, 3: 1, 4: 2}
    wanted = (twins[int(table[action]["intent"])], int(table[action]["pricing"]), int(table[action]["size"]))
    found = [index for index, row in enumerate(table) if (row["intent"], row["pricing"], row["size"]) == wanted]
    return found[0]


@given(
    seed=st.integers(0, 100_000),
    space=st.sampled_from(["sized21", "sized21-join", "generic[5,40;take,inside,join,improve]"]),
    result=st.sampled_from([None, 0.0, 100.0, 37.0]),
)
def test_swapping_yes_and_no_everywhere_gives_the_same_cash_path(seed: int, space: str, result: float | None) -> None:
    rows = random_tape(seed, moments=80, result=result)
    one = Play(pack_of(rows), action_space=space, mask_opposite_buy=bool(seed % 2))
    two = Play(pack_of(mirrored(rows)), action_space=space, mask_opposite_buy=bool(seed % 2))
    twin = np.array([mirror_id(one.settings, action) for action in range(len(one.mask))])
    chance = np.random.default_rng(seed)
    while not one.over:
        assert one.now == two.now
        assert np.array_equal(one.mask, two.mask[twin])
        assert (one.cash, one.position, int(one.trader["equity"])) == (
            two.cash,
            -two.position,
            int(two.trader["equity"]),
        )
        action = int(np.argmax(chance.random(one.mask.shape) * one.mask))
        one.step(action)
        two.step(int(twin[action]))
        assert one.over == two.over
    for name in ("cash_end", "equity_end", "fees", "spread_cost", "stake", "ladder_value"):
        assert int(one.episode[name]) == int(two.episode[name]), name
    assert int(one.episode["position_end"]) == -int(two.episode["position_end"])


def test_a_position_can_be_closed_by_a_print_that_fills_a_resting_sell() -> None:
    """Bought 10 at 48, sold at 48 by resting: what is lost is the fee of both fills."""
    play = Play(pack_of(QUIET, TICKS, trade(5, "buys", 48, 200), END), action_space="generic[10;take,join]")
    play.act("BUY_YES", 10, "TAKE")
    play.until(0.9)
    play.act("SELL_YES", 10, "JOIN")
    play.finish()
    assert play.position == 0
    assert int(play.episode["cash_end"]) == BANKROLL - int(play.episode["fees"])
    assert int(play.episode["maker_fills"]) == 1
