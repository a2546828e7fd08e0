"""What is logged can be shown anywhere, and is of bounded length."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpcrouter.logs.text import bounded, escaped, shortened, shortened_within

CONTROLS = [chr(code) for code in (*range(32), *range(0x7F, 0xA0))]
FORMATS = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cf"]
LINE_ENDS = ["\u2028", "\u2029"]


@pytest.mark.parametrize("characters", [CONTROLS, FORMATS, LINE_ENDS])
def test_what_moves_the_cursor_or_cannot_be_seen_is_escaped(characters: list[str]) -> None:
    for each in characters:
        assert escaped(f"a{each}b") == "a" + each.encode("unicode_escape").decode() + "b"


@given(st.text())
def test_only_printable_characters_are_left(text: str) -> None:
    found = escaped(text)
    assert found.isprintable()
    assert found == text or not text.isprintable()


def test_a_short_text_is_unchanged() -> None:
    assert shortened("abc", 3) == shortened_within("abc", 3) == "abc"


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert shortened("abcdefgh", 3) == "abc...[5 more characters]"
    assert shortened_within("abcdefghijkl", 8) == "ab...[4 characters left out]...ghijkl"


SECRET = "https://user:hunter2@host"  # noqa: S105


@pytest.mark.parametrize("before", range(40))
def test_no_cut_makes_a_secret_look_like_none(before: int) -> None:
    text = before * "x" + SECRET + 200 * "y"
    assert "hunter" not in shortened(text, 40)
    assert "hunter" not in shortened_within(text[::1], 160)
    text = 200 * "y" + SECRET + before * "x"
    assert "unter2" not in shortened_within(text, 40)


def test_each_value_of_an_event_is_cut_and_a_traceback_keeps_its_end() -> None:
    event = bounded({"n": 1, "no": None, "yes": True, "host": 5000 * "h", "list": 5000 * ["x"]})
    assert (event["n"], event["no"], event["yes"]) == (1, None, True)
    assert len(event["host"]) < 2100
    assert len(event["list"]) < 2100
    trace = bounded({"exception": "Traceback\n" + 9000 * "x" + "\nValueError: why"})["exception"]
    assert trace.startswith("Traceback")
    assert trace.endswith("ValueError: why")
    assert len(trace) < 6200
