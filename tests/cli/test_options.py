"""What is typed on a command line: spans of time, and options that there are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.cli.options import seconds
from kalshi_ray.errors import UsageError


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0", 0), ("90", 90), ("2.5", 2.5), ("1e3", 1_000), ("40s", 40), ("15m", 900), ("2h", 7_200), ("1d", 86_400),
        ("1h30m", 5_400), ("1d2h3m4s", 93_784), ("0.5h", 1_800), (" 2H ", 7_200),
    ],
)  # fmt: skip
def test_a_duration_is_typed_as_people_write_it(text: str, meant: float) -> None:
    assert seconds(text) == meant


@pytest.mark.parametrize("text", ["", "-3", "nan", "inf", "1x", "30m1h", "h", "1 h", "1,5h", "1e999", "٣"])
def test_what_is_no_duration_is_told_how_to_type_one(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no duration\. Give seconds, or days, hours, minutes: 90, 40s, 15m, 2h"):
        seconds(text)


@given(st.integers(0, 9), st.integers(0, 30), st.integers(0, 90), st.integers(0, 90))
def test_a_duration_is_the_sum_of_its_parts(days: int, hours: int, minutes: int, rest: int) -> None:
    assert seconds(f"{days}d{hours}h{minutes}m{rest}s") == days * 86_400 + hours * 3_600 + minutes * 60 + rest
