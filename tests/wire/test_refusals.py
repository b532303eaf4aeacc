"""The exchange's no: every shape that was seen on the wire, as one value and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.wire.refusals import bad_request, read_error, refusal, usual_shape, write_error
from kalshi_ray.wire.trading import Refused
from tests.examples import some_of
from tests.wire import values


def no(status: int, code: str = "", message: str = "", details: str = "") -> Refused:
    return Refused(status=status, code=code, message=message, details=details)


SEEN = [
    (
        '{"error":{"code":"order_already_exists","message":"order already exists"}}',
        no(409, "order_already_exists", "order already exists"),
    ),
    (
        '{"error":{"code":"invalid_order","message":"invalid order","details":"post only cross"}}',
        no(400, "invalid_order", "invalid order", "post only cross"),
    ),
    (
        '{"code":"bad_request","message":"bad request","details":"json: cannot unmarshal number"}',
        no(400, "bad_request", "bad request", "json: cannot unmarshal number"),
    ),
    ('{"msg":"Parameter validation failed for GetMarkets"}', no(400, "", "Parameter validation failed for GetMarkets")),
    ('{"error":"too many requests"}', no(429, "", "too many requests")),
]
ODD = [
    (
        '{"error":{"code":"invalid_price","message":"invalid price","service":"exchange"}}',  # until 2026-08-06
        no(400, "invalid_price", "invalid price"),
    ),
    ("<html>Bad Gateway</html>", no(502, "", "<html>Bad Gateway</html>")),
    ("", no(504)),
    ("[1]", no(500, "", "[1]")),
    ('{"error":{"code":5,"details":{"a":1}}}', no(500, "5", "", '{"a":1}')),
    ('{"error":null,"code":"not_found"}', no(404, "not_found")),
    ("{}", no(500)),
]


@pytest.mark.parametrize(("body", "refused"), SEEN + ODD)
def test_every_shape_is_one_value(body: str, refused: Refused) -> None:
    assert read_error(refused.status, body.encode()) == refused


@pytest.mark.parametrize(("body", "refused"), SEEN)
def test_a_refusal_is_written_in_the_shape_in_which_the_exchange_writes_it(body: str, refused: Refused) -> None:
    assert json.loads(write_error(refused)) == json.loads(body)


@settings(derandomize=True, max_examples=some_of(100), deadline=None)
@given(values.refusals, st.sampled_from(["nested", "flat"]))
def test_a_refusal_with_a_code_survives_both_shapes(refused: Refused, shape: str) -> None:
    assert read_error(refused.status, write_error(refused, "flat" if shape == "flat" else "nested")) == refused


@settings(derandomize=True, max_examples=some_of(200), deadline=None)
@given(st.integers(400, 599), st.binary(max_size=30) | values.json_values.map(lambda body: json.dumps(body).encode()))
def test_no_answer_breaks_the_reader(status: int, body: bytes) -> None:
    assert read_error(status, body).status == status


def test_a_page_instead_of_an_answer_is_shown_in_part() -> None:
    assert len(read_error(502, b"x" * 10_000).message) <= 201
    assert len(read_error(502, b"[" * 100_000).message) <= 201


def test_a_code_says_itself_in_words() -> None:
    assert refusal(404, "not_found") == no(404, "not_found", "not found")
    refused = bad_request("json: no").refused
    assert usual_shape(refused) == "flat" and refused == no(400, "bad_request", "bad request", "json: no")
