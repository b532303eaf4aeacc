"""Tables at every width: nothing is lost, no word is cut, and what does not fit stands record by record."""

from __future__ import annotations

import pytest
from rich.console import Console

from kalshi_ray.cli.output import size, table
from kalshi_ray.cli.tables import Table

COLUMNS = ("session", "updates", "from", "note")
ROWS = [
    ("monday", 1_234_567, "2026-11-20 20:39", "the writer died, and what it had not stored waits in the spool"),
    ("a-much-longer-name-42", None, "", ""),
]


def made() -> Table:
    return table("Sessions", COLUMNS, ROWS, right=("updates",))


def drawn(width: int, one: Table | None = None) -> list[str]:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(one or made())
    return [line.rstrip() for line in captured.get().splitlines()]


def test_where_there_is_room_each_row_is_a_line() -> None:
    title, names, monday, other = drawn(200)
    assert (title, names.split()) == ("Sessions", list(COLUMNS))
    assert monday.startswith("monday                 1,234,567  2026-11-20 20:39  the writer died")
    assert other == "a-much-longer-name-42"
    assert names.index("updates") + len("updates") == monday.index("1,234,567") + len("1,234,567"), "right-aligned"


@pytest.mark.parametrize("width", range(24, 140, 3))
def test_every_word_is_there_and_whole_and_within_the_width(width: int) -> None:
    lines = drawn(width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for word in ["monday", "1,234,567", "2026-11-20", "20:39", "writer", "stored", "spool", "a-much-longer-name-42"]:
        assert word in words, f"{word} at {width}"


def test_where_columns_do_not_fit_each_row_is_a_record_without_its_empty_cells() -> None:
    assert drawn(48) == [
        "Sessions",
        "monday",
        "  updates  1,234,567",
        "  from     2026-11-20 20:39",
        "  note     the writer died, and what it had not",
        "           stored waits in the spool",
        "a-much-longer-name-42",
    ]


def test_records_are_taken_where_they_need_fewer_lines_than_a_narrow_column() -> None:
    long = table("", ("name", "meaning"), [("a" * 30, "ab " * 40)])
    assert len(drawn(44, long)) == 5, "the name and four lines of 33 columns, not a column of twelve"
    assert drawn(200, long)[0].split() == ["name", "meaning"]


def test_the_names_of_columns_stand_above_rows_that_are_not_broken() -> None:
    assert drawn(80, table("Path", ("15:12 to 15:17 UTC",), [("▁▂▃",), ("low",)]))[1] == "15:12 to 15:17 UTC"
    assert drawn(80, table("Sparse", ("a", "b"), [("x", ""), ("y", None)]))[1] == "a  b"
    assert drawn(3, table("", ("a",), [("abcdef",)])) == ["a", "abc", "def"], "a lone column has nothing to stand below"


def test_an_empty_table_is_its_title_and_its_columns() -> None:
    assert drawn(80, table("None", ("a", "b"), [])) == ["None", "a  b"]


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (34_000, "34 kB"), (4_891_234, "4.89 MB")])
def test_bytes_have_the_unit_that_shows_them(count: int, text: str) -> None:
    assert size(count) == text
