"""Frames of the book and trade channels as JSON text in every form: ordinary, unusual and wrong."""

from __future__ import annotations

import json
from random import Random
from typing import Any

Pairs = list[tuple[str, Any]]

PRICES = ["0.4700", "0.47", "0.0001", "1.0000", "0.0000", "0.999"]
ODD_PRICES = [
    "1.0001", "0.47000", "0.47001", "-0.47", "-0", "", ".5", "5.", "0.4.7", "+0.47", " 0.47", "0.4_7", "4.7e-1", "NaN",
    "00000000000000000000.47", "99999999999999999999", "1844674407370955.5", "٠.٤٧", 0.47, 47, 0, None, True, [], {},
]  # fmt: skip
COUNTS = ["12.50", "-3.00", "3", "0.00", "-0.00", "1823233.16", "0.01", "9999999999.99"]
ODD_COUNTS = [
    "12.505", "12.500", "1e3", "", "-", "--3", "3-", "1,000", "9" * 25, "0.000000000000001", 12.5, -3, 1e40, None,
    False, "Infinity", "0x10", "3.00 ", "12.5\u0000",
]  # fmt: skip
NUMBERS = [1, 2, 77, 10**12]
ODD_NUMBERS = [0, -1, -0.0, 1.0, 1e3, 10**15, 10**16, 2**63, 10**30, "1", None, True, [], 1.5]
SECONDS = [1_790_922_689, 0]
TIMES = [1_790_922_689_957, 0]
ODD_TIMES = [1_790_922_689, 9_000_000_000_001, 10**14, -1, 1.5, "x", None, "2026-10-02T06:31:29.957081Z"]
SIDES = ["yes", "no"]
TAKERS = ["bid", "ask", "yes", "no", ""]
ODD_WORDS = ["", "YES", "maybe", "yes ", "y" * 30, "ye\x7fs", None, 1, ["yes"]]
TEXTS = ["01a1151c-3ee0-7da4-8536-052eaa47d84d", "", "a" * 100]
ODD_TEXTS = ['quote " and \\ slash', "é", "line\nfeed", None, 5, "\ud800"]
TICKERS = ["KXA-26-T1", "KXA-26-T104249.99", "KXMLBGAME-26OCT072200MILSD-SD"]
ODD_TICKERS = ["KXA-26-T2", "", "kxa-26-t1", "KXA-26-T1 ", "KXÄ-26-T1", None, 4, "K\u0130"]


class Maker:
    """Makes frames from one seed; `oddness` is the chance that a value, a key or the text is unusual."""

    def __init__(self, seed: int, oddness: float) -> None:
        self._chance = Random(seed)
        self._oddness = oddness

    def frame(self, sid: int, seq: int) -> bytes:
        """One frame; unless something odd happens to it, it is number `seq` of `sid`."""
        kind = self._chance.choice(["orderbook_delta", "orderbook_snapshot", "trade"])
        body = {"orderbook_delta": self._delta, "orderbook_snapshot": self._snapshot, "trade": self._trade}[kind]()
        pairs: Pairs = [("type", kind), ("sid", sid), ("seq", seq), ("msg", self._keys(body))]
        if self._chance.random() < 0.5:
            pairs.append(("sending_ts_ms", self._pick(TIMES, ODD_TIMES)))
        if self._chance.random() < 0.2:
            pairs.append(("id", self._pick(NUMBERS, ODD_NUMBERS)))
        if self._is_odd():
            at = self._chance.randrange(len(pairs))
            pairs[at] = (pairs[at][0], self._chance.choice([*ODD_NUMBERS, *ODD_WORDS, "fill", list(pairs)]))
        text = self._text(self._keys(pairs)).encode("utf-8", "surrogatepass")
        return self._damaged(text) if self._is_odd() else text

    def _delta(self) -> Pairs:
        return [
            ("market_ticker", self._pick(TICKERS, ODD_TICKERS)),
            ("market_id", self._pick(TEXTS, ODD_TEXTS)),
            ("side", self._pick(SIDES, ODD_WORDS)),
            ("price_dollars", self._pick(PRICES, ODD_PRICES)),
            ("delta_fp", self._pick(COUNTS, ODD_COUNTS)),
            *self._times("2026-10-02T06:31:29.957081Z"),
        ]

    def _snapshot(self) -> Pairs:
        body: Pairs = [("market_ticker", self._pick(TICKERS, ODD_TICKERS)), ("market_id", self._pick(TEXTS, ODD_TEXTS))]
        return body + [
            (key, self._ladder()) for key in ("yes_dollars_fp", "no_dollars_fp") if self._chance.random() < 0.8
        ]

    def _trade(self) -> Pairs:
        words = [
            (key, self._pick(TAKERS, ODD_WORDS)) for key in ("taker_book_side", "taker_outcome_side", "taker_side")
        ]
        prices = [(key, self._pick(PRICES, ODD_PRICES)) for key in ("yes_price_dollars", "no_price_dollars")]
        return [
            ("trade_id", self._pick(TEXTS, ODD_TEXTS)),
            ("market_ticker", self._pick(TICKERS, ODD_TICKERS)),
            *prices[: self._chance.choice([2, 2, 1])][:: self._chance.choice([1, -1])],
            ("count_fp", self._pick(COUNTS, ODD_COUNTS)),
            *words[self._chance.randrange(4) :],
            ("is_block_trade", self._pick([True, False], [None, 1, "true"])),
            *self._times(self._pick(SECONDS, [*TIMES, *ODD_TIMES])),
        ]

    def _times(self, ts: Any) -> Pairs:
        times = [("ts", ts), ("ts_ms", self._pick(TIMES, ODD_TIMES))]
        return times[self._chance.choice([0, 0, 0, 1]) : self._chance.choice([2, 2, 2, 1])]

    def _ladder(self) -> Any:
        if self._is_odd():
            return self._chance.choice([None, [], [[]], [["0.47"]], [["0.47", "1", "1"]], {}, "x", [["0.47", "-1.00"]]])
        prices = sorted(self._chance.sample(range(1, 100), self._chance.randrange(12)))
        if self._chance.random() < 0.2:
            prices.reverse()
        if self._is_odd():
            self._chance.shuffle(prices)
        if prices and self._is_odd():
            prices.append(prices[-1])
        return [[f"{p / 100:.4f}" if not self._is_odd() else p / 100, self._pick(COUNTS[2:4], COUNTS)] for p in prices]

    def _keys(self, pairs: Pairs) -> Pairs:
        """The keys in another order; something odd: one more, one twice, one missing."""
        pairs = list(pairs)
        if self._chance.random() < 0.5:
            self._chance.shuffle(pairs)
        if self._is_odd():
            at = self._chance.randrange(len(pairs))
            known = ("client_order_id", "subaccount", "price", "delta", "yes", "ts_ns", "yes_dollars")
            change = self._chance.choice(["unknown", "known", "twice", "missing"])
            if change == "unknown":
                pairs.insert(at, (self._chance.choice(["flavour", "", "pricedollars", "a" * 40]), "1"))
            elif change == "known":
                pairs.insert(at, (self._chance.choice(known), self._chance.choice(["x", 3, [[46, 100]]])))
            elif change == "twice":
                pairs.insert(at, self._chance.choice(pairs))
            else:
                del pairs[at]
        return pairs

    def _text(self, value: Any) -> str:
        """JSON; pairs are objects. Now and then with blanks and escapes."""
        if isinstance(value, list) and value and all(isinstance(one, tuple) for one in value):
            inside = f"{self._blank()},{self._blank()}".join(
                f"{self._string(key)}{self._blank()}:{self._blank()}{self._text(one)}" for key, one in value
            )
            return f"{{{self._blank()}{inside}{self._blank()}}}"
        if isinstance(value, list):
            inside = f"{self._blank()},{self._blank()}".join(map(self._text, value))
            return f"[{self._blank()}{inside}{self._blank()}]"
        return self._string(value) if isinstance(value, str) else json.dumps(value)

    def _string(self, word: str) -> str:
        if word and self._is_odd():
            at = self._chance.randrange(len(word))
            return f'"{json.dumps(word[:at])[1:-1]}\\u{ord(word[at]) & 0xFFFF:04x}{json.dumps(word[at + 1 :])[1:-1]}"'
        return json.dumps(word, ensure_ascii=self._chance.random() < 0.5)

    def _blank(self) -> str:
        return self._chance.choice([" ", "\n", "\t \r", "\x0b"]) if self._is_odd() else ""

    def _damaged(self, text: bytes) -> bytes:
        at = self._chance.randrange(len(text))
        byte = bytes([self._chance.choice([0, 9, 34, 44, 48, 92, 93, 125, 127, 200, self._chance.randrange(256)])])
        return self._chance.choice(
            [text[:at], text[:at] + byte + text[at + 1 :], text[:at] + byte + text[at:], text + byte]
        )

    def _pick(self, usual: list[Any], odd: list[Any]) -> Any:
        return self._chance.choice(odd if self._is_odd() else usual)

    def _is_odd(self) -> bool:
        return self._chance.random() < self._oddness
