"""What a person has to say can be seen by whoever reads it."""

import pytest

from gateway.printable import is_visible


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
