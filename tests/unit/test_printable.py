"""What a person has to say can be seen by whoever reads it."""

import sys
import unicodedata

import pytest

from gateway.printable import is_visible, printable


@pytest.mark.parametrize("text", ["not now", "§ 5", "ei", "हाँ", "不", "🙂", "!", "no\u3164"])
def test_what_a_person_sees_is_visible(text: str) -> None:
    assert is_visible(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "\u00a0",
        "\u3000",
        "\u200b",
        "\u2060",
        "\ufeff",
        "\u00ad",
        "\u115f",
        "\u1160",
        "\u3164",
        "\uffa0",
        "\u2800",
        "\u034f",
        "\u17b4",
        "\ufe0f",
        "\U000e0100",
        "\U000e0041",
        "\U0001d159",
        "\U00016fe4",
        "seen\u200b",
        "two\nlines",
    ],
    ids=ascii,
)
def test_what_nobody_sees_or_moves_a_cursor_is_not(text: str) -> None:
    assert not is_visible(text)


@pytest.mark.parametrize("assigned_later", ["\U0001fae8", "\U00031350", "\u0cf3", "\U000105c0"], ids=ascii)
def test_what_is_printable_does_not_depend_on_the_interpreter(assigned_later: str) -> None:
    """Whoever put such a character into a document would have a case file hold on one machine and not on another."""
    assert printable(f"a{assigned_later}") == f"a{ascii(assigned_later)[1:-1]}"


def test_nothing_else_is_escaped_than_what_python_says_is_not_printable() -> None:
    shown = [each for each in map(chr, range(sys.maxunicode + 1)) if printable(each) == each]
    assert all(map(str.isprintable, shown))
    if unicodedata.unidata_version == "14.0.0":
        assert len(shown) == sum(chr(each).isprintable() for each in range(sys.maxunicode + 1))
    assert (
        printable("Żółć 東京 \U0001f642 a\nb\x1b[1m\u202e\ud800") == "Żółć 東京 \U0001f642 a\\nb\\x1b[1m\\u202e\\ud800"
    )
