from typing import Any

import pytest

from app.api.dialects import ParameterError, translate


@pytest.mark.parametrize(
    ("sent", "native"),
    [
        ([], {}),
        ([("skip", "5"), ("limit", "7")], {"skip": ["5"], "limit": ["7"]}),
        ([("id", "1"), ("id", "2")], {"id": ["1", "2"]}),
        ([("sort", "-title,id")], {"sort": ["-title,id"]}),
        ([("sort", '["title","ASC"]')], {"sort": ["title"]}),
        ([("sort", '["title","desc"]')], {"sort": ["-title"]}),
        ([("range", "[0,24]")], {"skip": [0], "limit": [25]}),
        ([("range", "[10,10]")], {"skip": [10], "limit": [1]}),
        ([("filter", "{}")], {}),
        ([("filter", '{"q":"x","id":[1,2]}')], {"q": ["x"], "id": [1, 2]}),
        ([("filter", '{"description":null}')], {"description": [None]}),
        ([("filter", '{"id":[]}')], {"id": []}),
        ([("filter", '{"id":1}'), ("id", "2")], {"id": [1, "2"]}),
        ([("_start", "0"), ("_end", "25")], {"skip": [0], "limit": [25]}),
        ([("_start", "50"), ("_end", "75")], {"skip": [50], "limit": [25]}),
        ([("_end", "10")], {"skip": [0], "limit": [10]}),
        ([("_start", "10")], {"skip": [10]}),
        ([("_sort", "title")], {"sort": ["title"]}),
        ([("_sort", "title"), ("_order", "DESC")], {"sort": ["-title"]}),
        ([("_order", "desc"), ("_sort", "title")], {"sort": ["-title"]}),
        ([("_sort", "a,b,c"), ("_order", "asc,desc")], {"sort": ["a", "-b", "c"]}),
        ([("_sort", ""), ("_order", "")], {}),
        ([("nope", "1")], {"nope": ["1"]}),
    ],
)
def test_translate_gives_the_native_parameters(
    sent: list[tuple[str, str]], native: dict[str, list[Any]]
) -> None:
    assert dict(translate(sent).values) == native


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        ([("range", "[0,24]")], {"skip": "range", "limit": "range"}),
        ([("_start", "0"), ("_end", "25")], {"skip": "_start", "limit": "_end"}),
        ([("_sort", "title")], {"sort": "_sort"}),
        ([("sort", '["title","ASC"]')], {"sort": "sort"}),
    ],
)
def test_translate_remembers_what_the_client_said(
    sent: list[tuple[str, str]], names: dict[str, str]
) -> None:
    assert translate(sent).sent_as == names


@pytest.mark.parametrize(
    ("sent", "parameter"),
    [
        ([("sort", "[")], "sort"),
        ([("sort", '["title"]')], "sort"),
        ([("sort", '["title","UP"]')], "sort"),
        ([("range", "")], "range"),
        ([("range", "[5,4]")], "range"),
        ([("range", '["0","1"]')], "range"),
        ([("range", "[0,true]")], "range"),
        ([("range", "[" * 10**5)], "range"),
        ([("filter", "")], "filter"),
        ([("filter", "[]")], "filter"),
        ([("filter", '{"id":' * 10**5)], "filter"),
        ([("filter", f'{{"id":{"9" * 5000}}}')], "filter"),
        ([("filter", '{"limit":1}')], "limit"),
        ([("_start", "-1")], "_start"),
        ([("_start", "٣")], "_start"),
        ([("_start", "9" * 17)], "_start"),
        ([("_start", "5"), ("_end", "5")], "_end"),
        ([("_end", "x")], "_end"),
        ([("_sort", "title"), ("_order", "up")], "_order"),
    ],
)
def test_translate_blames_what_the_client_sent(sent: list[tuple[str, str]], parameter: str) -> None:
    with pytest.raises(ParameterError) as caught:
        translate(sent)

    assert caught.value.parameter == parameter
