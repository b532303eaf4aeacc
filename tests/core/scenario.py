"""A small seeded session played through the environment, and one digest of all that came out of it.

`python -m tests.core.scenario` prints the digests as JSON: what a plain run (NUMBA_DISABLE_JIT=1) and a compiled one
must have in common.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.orders import QUOTE
from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from tests.data.pack_tables import ASK, BID, end, level, pack_of, quoted_session, row

# What each case changes of the defaults; every fill model, both ways of taking part, jitter, short budgets.
CASES: dict[str, dict[str, Any]] = {
    "taker": {"budget_per_s": 4.0},
    "maker": {"action_space": "sized21-join", "observation": "obs-x", "fill_model": "fitted", "latency_spread": 0.5},
    "mixed": {
        "action_space": "generic[5,40;take,inside,join,improve]",
        "observation": "obs52",
        "fill_model": "optimistic",
        "member": "cleared",
        "mask_opposite_buy": False,
        "mask_repeated_hold": 3,
        "budget_per_s": 8.0,
    },
    "quotes": {"observation": "obs-x", "budget_per_s": 4.0, "reward": "fee-0.1-hold"},
}


def session(seed: int = 5, changes: int = 220) -> ViewPack:
    """Three markets with quotes, prints, a gap, a pause, changes of fee and schedule, and one settlement."""
    rows = quoted_session(seed, markets=3, changes=changes, step_ms=120.0)
    last = (rows[-1]["recv_ns"] - rows[0]["recv_ns"]) / 1e6
    for at in (0.4, 0.7):
        rows.append(row(Kind.GAP, at * last, market=1, size=1))
        rows += [
            level(at * last + 900, BID, 3_000, 5_000, market=1),
            level(at * last + 900, ASK, 5_500, 7_050, market=1),
        ]
        rows.append(end(at * last + 900, market=1))
    rows += [row(Kind.STATUS, 0.5 * last, market=2, size=2), row(Kind.STATUS, 0.6 * last, market=2, size=1)]
    rows.append(row(Kind.FEE, 0.3 * last, market=0, size=35_000, price=8_750))
    rows.append(row(Kind.SCHEDULE, 0.3 * last, market=0, size=rows[0]["recv_ns"] + 3_600 * 10**9))
    over = row(Kind.SETTLEMENT, 0.5 * last, market=0, price=3_333)
    rows = [r for r in rows if r["market"] != 0 or r["recv_ns"] < over["recv_ns"]] + [over]
    rows.sort(key=lambda r: r["recv_ns"])
    return pack_of(_patched(rows))


def _patched(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop book changes that the inserted gaps made impossible: a level would go below zero."""
    books: dict[int, dict[tuple[int, int], int] | None] = {}
    kept = []
    for r in rows:
        book = books.setdefault(r["market"], {})
        key = (r["side"], r["price"])
        if r["kind"] == Kind.GAP:
            books[r["market"]] = None
        elif r["kind"] == Kind.SNAPSHOT_LEVEL:
            if book is None:
                book = books[r["market"]] = {}
            book[key] = r["size"]
        elif r["kind"] == Kind.DELTA and book is not None:
            if book.get(key, 0) + r["size"] < 0:
                continue
            book[key] = book.get(key, 0) + r["size"]
        kept.append(r)
    return kept


def digest(arrays: list[NDArray[Any]]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def legal_actions(mask: NDArray[np.bool_], chance: np.random.Generator) -> NDArray[np.int64]:
    """One legal id for each row, drawn evenly."""
    return np.argmax(chance.random(mask.shape) * mask, axis=1).astype(np.int64)


def quotes_of(env: MarketVectorEnv, chance: np.random.Generator) -> NDArray[np.void]:
    """Desired orders around the seen touch, some taking, some absent, some off the grid."""
    quotes = np.zeros(env.num_envs, QUOTE)
    bids, asks = np.asarray(env.rows["best_bid"], np.int64), np.asarray(env.rows["best_ask"], np.int64)
    quotes["bid_price"] = np.where(bids < 0, 100, bids) + 100 * chance.integers(-1, 2, env.num_envs)
    quotes["ask_price"] = np.where(asks < 0, 9_900, asks) + 50 * chance.integers(-2, 3, env.num_envs)
    quotes["bid_size"] = chance.integers(0, 4, env.num_envs) * 500
    quotes["ask_size"] = chance.integers(0, 4, env.num_envs) * 500
    quotes["bid_takes"] = chance.random(env.num_envs) < 0.2
    quotes["ask_takes"] = chance.random(env.num_envs) < 0.2
    return quotes


def play(
    pack: ViewPack, case: str, *, rows: int = 3, steps: int = 60, seed: int = 1
) -> tuple[dict[str, str], NDArray[np.void], NDArray[np.void]]:
    """Digests by what they cover, and the fills and episodes themselves."""
    settings = EnvSettings(**({"position_limit": 80, "start": "whole"} | CASES[case]))
    env = MarketVectorEnv(pack, settings, num_envs=rows, seed=seed, log_fills=True)
    chance = np.random.default_rng(seed)
    batch = env.new_batch()
    env.reset_into(batch)
    seen: dict[str, list[NDArray[Any]]] = {"observations": [], "masks": [], "rewards": [], "ends": []}
    for _ in range(steps):
        if case == "quotes":
            env.step_quotes_into(quotes_of(env, chance), batch)
        else:
            env.step_into(legal_actions(batch.mask, chance), batch)
        seen["observations"] += [batch.observation.copy(), batch.final_observation.copy()]
        seen["masks"] += [batch.mask.copy(), batch.final_mask.copy()]
        seen["rewards"] += [batch.reward.copy(), batch.elapsed.copy()]
        seen["ends"] += [batch.terminated.copy(), batch.truncated.copy()]
    fills, episodes = env.take_fills(), env.take_episodes()
    found = {name: digest(arrays) for name, arrays in seen.items()}
    found["fills"] = digest([np.asarray(fills[name]) for name in fills.dtype.names or ()])
    found["episodes"] = digest([np.asarray(episodes[name]) for name in episodes.dtype.names or ()])
    found["equity"] = digest([np.asarray(env.rows["equity"]), np.asarray(env.rows["account"]["cash"])])
    return found, fills, episodes


def all_digests() -> dict[str, dict[str, str]]:
    """The digests of every case."""
    pack = session()
    return {case: play(pack, case)[0] for case in CASES}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(all_digests()))
