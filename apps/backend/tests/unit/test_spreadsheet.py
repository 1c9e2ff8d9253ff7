import random
import re

import pytest

from app.core.spreadsheet import BLANKS, FORMULA_STARTS, make_harmless, read_harmless

ALPHABET = f"'{FORMULA_STARTS}\0{BLANKS}ab1,\""


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "@SUM(A1)",
        "- item",
        "-",
        "-1+1",
        "-1-1",
        "+1-800-555",
        "+49/30 1234",
        "-1*2",
        "-3\n",
        "-3 ",
        " -3",
        "+SUM(1)",
        "-(1)",
        "-1,(2)",
        "-\u0663",  # A digit, but not of ours.
        "\uff0d1",
        "\uff1d1",
        "\tx",
        "\r",
        "\0=1",
        "  =1",
        "\n=1",
        "\u3000\uff20x",
        "'=1",
        "'' -1",
    ],
)
def test_formula_gets_a_quote_in_front(text: str) -> None:
    assert make_harmless(text) == f"'{text}"


@pytest.mark.parametrize(
    "text",
    [
        *("", "lamp", "1-1", "a=b", "'tis", "''", " lamp", "\nlamp", "'", "1,5"),
        *("-3", "+1", "-75.63", "-.5", "-1,5", "+1.234,56", "-1'234.50", "-1e-05", "-12%"),
        *("+49 30 1234", "+1 (800) 555 0199", "-1\u202f234,56"),
    ],
)
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert make_harmless(text) == text
    assert read_harmless(text) == text


def test_what_was_made_harmless_is_read_back_whatever_it_was() -> None:
    dice = random.Random(4)  # noqa: S311  No secret.

    for _ in range(100_000):
        text = "".join(dice.choices(ALPHABET, k=dice.randrange(7)))
        assert read_harmless(make_harmless(text)) == text


def test_what_earlier_releases_made_harmless_is_read_back() -> None:
    assert read_harmless("'-75.63") == "-75.63"
    assert read_harmless(make_harmless("'-75.63")) == "'-75.63"


def test_nothing_that_leaves_begins_like_a_formula() -> None:
    dice = random.Random(5)  # noqa: S311  No secret.

    for _ in range(100_000):
        text = make_harmless("".join(dice.choices(ALPHABET, k=dice.randrange(7))))
        is_number = re.fullmatch(r"[-+][.,]?\d[\d ,'().]*", text, re.ASCII)
        assert is_number or not re.match(rf"\s*[{FORMULA_STARTS}\0]", text)
