"""Commands on a stream: values to bytes as a client sends them, and bytes to values or the exchange's error codes."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

from kalshi_ray.wire.messages import CommandFailed
from kalshi_ray.wire.shapes import written


class Channel(Enum):
    """What can be subscribed to, in the exchange's words."""

    BOOK = "orderbook_delta"
    TICKER = "ticker"
    TRADE = "trade"
    FILL = "fill"
    ORDERS = "user_orders"
    POSITIONS = "market_positions"
    GROUPS = "order_group_updates"
    LIFECYCLE = "market_lifecycle_v2"
    COMBO_LIFECYCLE = "multivariate_market_lifecycle"
    COMMUNICATIONS = "communications"
    CF_VALUE = "cfbenchmarks_value"
    CF_VALUE_5HZ = "cfbenchmarks_value_5hz"
    PYTH_VALUE = "pyth_value"


class Action(Enum):
    """What can be done to a subscription."""

    ADD = "add_markets"
    DELETE = "delete_markets"
    SNAPSHOT = "get_snapshot"


class Code(Enum):
    """Why a command fails or a subscription ends: the exchange's number and words."""

    BAD_MESSAGE = (1, "Unable to process message")
    PARAMS_REQUIRED = (2, "Params required")
    CHANNELS_REQUIRED = (3, "Channels required")
    SIDS_REQUIRED = (4, "Subscription IDs required")
    UNKNOWN_COMMAND = (5, "Unknown command")
    UNKNOWN_SID = (7, "Unknown subscription ID")
    UNKNOWN_CHANNEL = (8, "Unknown channel name")
    AUTHENTICATION_REQUIRED = (9, "Authentication required")
    CHANNEL_ERROR = (10, "Channel error")
    INVALID_PARAMETER = (11, "Invalid parameter")
    ONE_SID_REQUIRED = (12, "Exactly one subscription ID is required")
    UNSUPPORTED_ACTION = (13, "Unsupported action")
    TICKER_REQUIRED = (14, "Market Ticker required")
    ACTION_REQUIRED = (15, "Action required")
    COMMAND_TIMEOUT = (18, "Command timeout")
    SHARD_FACTOR_POSITIVE = (19, "shard_factor must be > 0")
    SHARD_FACTOR_REQUIRED = (20, "shard_factor is required when shard_key is set")
    SHARD_KEY_RANGE = (21, "shard_key must be >= 0 and < shard_factor")
    SHARD_FACTOR_LARGE = (22, "shard_factor must be <= 100")
    MATCH_IDS_REQUIRED = (23, "Match IDs required")
    INDEX_IDS_REQUIRED = (24, "Index IDs required")
    BUFFER_OVERFLOW = (25, "Subscription buffer overflow")
    MARKET_LIMIT = (26, "Subscription market limit exceeded")
    TOO_MANY_REQUESTS = (27, "Too many requests")
    UNDERLYINGS_REQUIRED = (28, "Underlying tickers required")

    @property
    def number(self) -> int:
        """The `code` of the frame."""
        return self.value[0]

    def failure(self, id: int = 0, *, sid: int = 0, seq: int = 0, ticker: str = "") -> CommandFailed:
        """The frame that says it."""
        return CommandFailed(code=self.value[0], text=self.value[1], id=id, sid=sid, seq=seq, ticker=ticker)


class Subscribe(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for channels; without tickers for all markets, where a channel allows that."""

    id: int
    channels: tuple[Channel, ...]
    tickers: tuple[str, ...] = ()
    market_ids: tuple[str, ...] = ()  # instead of tickers, on the ticker channel
    use_yes_price: bool | None = None  # None: not said, the exchange's own default
    send_initial_snapshot: bool = False  # on the ticker channel
    skip_ticker_ack: bool = False  # acknowledgements then leave out the list of tickers
    shard_factor: int | None = None
    shard_key: int | None = None


class UpdateSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """Add markets to a subscription, take them away, or ask for their books anew."""

    id: int
    sid: int
    action: Action
    tickers: tuple[str, ...] = ()
    market_ids: tuple[str, ...] = ()  # instead of tickers, on the ticker channel
    send_initial_snapshot: bool = False


class Unsubscribe(msgspec.Struct, frozen=True, kw_only=True):
    """End subscriptions."""

    id: int
    sids: tuple[int, ...]


class ListSubscriptions(msgspec.Struct, frozen=True, kw_only=True):
    """Ask which subscriptions there are."""

    id: int


Command = Subscribe | UpdateSubscription | Unsubscribe | ListSubscriptions
Json = dict[str, Any]


class _Failure(Exception):
    def __init__(self, code: Code) -> None:
        self.code = code


def write_command(command: Command) -> bytes:
    """The frame of a command."""
    match command:
        case Subscribe():
            return _frame(command.id, "subscribe", _subscribe_params(command))
        case UpdateSubscription():
            params: Json = {"sids": [command.sid], "action": command.action.value} | _market_params(command)
            if command.send_initial_snapshot:
                params["send_initial_snapshot"] = True
            return _frame(command.id, "update_subscription", params)
        case Unsubscribe():
            return _frame(command.id, "unsubscribe", {"sids": list(command.sids)})
        case ListSubscriptions():
            return _frame(command.id, "list_subscriptions", None)


def read_command(raw: bytes | str) -> Command | CommandFailed:
    """The command of a frame as the exchange reads it, or the error that it answers."""
    try:
        frame = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return Code.BAD_MESSAGE.failure()
    if not isinstance(frame, dict):
        return Code.BAD_MESSAGE.failure()
    id = frame.get("id", 0)
    if not _is_count(id):
        return Code.BAD_MESSAGE.failure()
    try:
        return _command_of(frame, id)
    except _Failure as failure:
        return failure.code.failure(id)


def _command_of(frame: Json, id: int) -> Command:
    name = frame.get("cmd")
    if name == "list_subscriptions":
        return ListSubscriptions(id=id)
    if name not in ("subscribe", "update_subscription", "unsubscribe"):
        raise _Failure(Code.UNKNOWN_COMMAND)
    params = frame.get("params")
    if params is None:
        raise _Failure(Code.PARAMS_REQUIRED)
    if not isinstance(params, dict):
        raise _Failure(Code.BAD_MESSAGE)
    if name == "subscribe":
        return _subscribe_of(params, id)
    return _update_of(params, id) if name == "update_subscription" else _unsubscribe_of(params, id)


def _subscribe_of(params: Json, id: int) -> Subscribe:
    words = params.get("channels")
    if not words:
        raise _Failure(Code.CHANNELS_REQUIRED)
    if not isinstance(words, list):
        raise _Failure(Code.INVALID_PARAMETER)
    channels = tuple(dict.fromkeys(_channel(word) for word in words))
    tickers = _names(params, "market_ticker", "market_tickers")
    market_ids = _names(params, "market_id", "market_ids")
    if market_ids and (tickers or channels != (Channel.TICKER,)):
        raise _Failure(Code.INVALID_PARAMETER)
    if Channel.BOOK in channels and not tickers:
        raise _Failure(Code.TICKER_REQUIRED)
    factor, key = _shard(params)
    return Subscribe(
        id=id,
        channels=channels,
        tickers=tickers,
        market_ids=market_ids,
        use_yes_price=_flag(params, "use_yes_price"),
        send_initial_snapshot=bool(_flag(params, "send_initial_snapshot")),
        skip_ticker_ack=bool(_flag(params, "skip_ticker_ack")),
        shard_factor=factor,
        shard_key=key,
    )


def _update_of(params: Json, id: int) -> UpdateSubscription:
    sids = params.get("sids", [])
    if not isinstance(sids, list):
        raise _Failure(Code.INVALID_PARAMETER)
    given = [*sids, *([params["sid"]] if params.get("sid") is not None else [])]
    if len(given) != 1:
        raise _Failure(Code.ONE_SID_REQUIRED)
    word = params.get("action")
    if not word:
        raise _Failure(Code.ACTION_REQUIRED)
    try:
        action = Action(word)
    except ValueError:
        raise _Failure(Code.UNSUPPORTED_ACTION) from None
    tickers = _names(params, "market_ticker", "market_tickers")
    market_ids = _names(params, "market_id", "market_ids")
    if tickers and market_ids:
        raise _Failure(Code.INVALID_PARAMETER)
    if not tickers and (not market_ids or action is Action.SNAPSHOT):
        raise _Failure(Code.TICKER_REQUIRED)
    return UpdateSubscription(
        id=id,
        sid=_sid(given[0]),
        action=action,
        tickers=tickers,
        market_ids=market_ids,
        send_initial_snapshot=bool(_flag(params, "send_initial_snapshot")),
    )


def _unsubscribe_of(params: Json, id: int) -> Unsubscribe:
    sids = params.get("sids")
    if not sids:
        raise _Failure(Code.SIDS_REQUIRED)
    if not isinstance(sids, list):
        raise _Failure(Code.INVALID_PARAMETER)
    return Unsubscribe(id=id, sids=tuple(map(_sid, sids)))


def _subscribe_params(command: Subscribe) -> Json:
    params: Json = {"channels": [channel.value for channel in command.channels]} | _market_params(command)
    flags = {"send_initial_snapshot": command.send_initial_snapshot, "skip_ticker_ack": command.skip_ticker_ack}
    said = {
        "use_yes_price": command.use_yes_price,
        "shard_factor": command.shard_factor,
        "shard_key": command.shard_key,
    }
    params |= {key: flag for key, flag in flags.items() if flag}
    return params | {key: word for key, word in said.items() if word is not None}


def _market_params(command: Subscribe | UpdateSubscription) -> Json:
    named = {"market_tickers": list(command.tickers), "market_ids": list(command.market_ids)}
    return {key: names for key, names in named.items() if names}


def _frame(id: int, name: str, params: Json | None) -> bytes:
    frame: Json = {"id": id, "cmd": name}
    return written(frame if params is None else frame | {"params": params})


def _channel(word: Any) -> Channel:
    try:
        return Channel(word)
    except ValueError:
        raise _Failure(Code.UNKNOWN_CHANNEL) from None


def _names(params: Json, one: str, many: str) -> tuple[str, ...]:
    """One name or a list of them, never both."""
    single, several = params.get(one), params.get(many)
    if single is not None and several is not None:
        raise _Failure(Code.INVALID_PARAMETER)
    names = several if several is not None else [] if single is None else [single]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise _Failure(Code.INVALID_PARAMETER)
    return tuple(dict.fromkeys(names))


def _shard(params: Json) -> tuple[int | None, int | None]:
    """One part of `shard_factor` parts of a channel."""
    factor, key = params.get("shard_factor"), params.get("shard_key")
    if factor is None:
        if key is not None:
            raise _Failure(Code.SHARD_FACTOR_REQUIRED)
        return None, None
    if not _is_count(factor) or factor == 0:
        raise _Failure(Code.SHARD_FACTOR_POSITIVE)
    if factor > 100:
        raise _Failure(Code.SHARD_FACTOR_LARGE)
    if key is not None and (not _is_count(key) or key >= factor):
        raise _Failure(Code.SHARD_KEY_RANGE)
    return factor, key


def _flag(params: Json, name: str) -> bool | None:
    flag = params.get(name)
    if flag is not None and not isinstance(flag, bool):
        raise _Failure(Code.INVALID_PARAMETER)
    return flag


def _sid(sid: Any) -> int:
    if not _is_count(sid) or sid == 0:
        raise _Failure(Code.INVALID_PARAMETER)
    return int(sid)


def _is_count(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0
