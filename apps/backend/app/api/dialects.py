"""The list dialects of panels, translated into the native parameters.

`ra-data-simple-rest` sends `sort=["email","ASC"]&range=[0,24]&filter={"q":"x","id":[1,2]}`;
json-server's clients (`ra-data-json-server`, `@refinedev/simple-rest`) send
`_start=0&_end=25&_sort=email,id&_order=asc,desc` beside plain filters.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

_JSON_SERVER: Final = ("_start", "_end", "_sort", "_order")
PAGING: Final = frozenset({"skip", "limit", "after", "range", "_start", "_end"})


class DialectError(ValueError):
    def __init__(self, parameter: str, text: str) -> None:
        super().__init__(text)
        self.parameter = parameter


def translate(parameters: Iterable[tuple[str, str]]) -> dict[str, list[Any]]:
    """Return the values of each native parameter. Raises DialectError, naming the parameter."""
    native: dict[str, list[Any]] = defaultdict(list)
    json_server: dict[str, str] = {}
    for name, value in parameters:
        if name in _JSON_SERVER:
            json_server[name] = value
        elif name == "filter":
            _read_filter(native, value)
        elif name == "range":
            start, end = _read_json_list(name, value, int, "[0,24]")
            _set_page(native, name, start, end + 1)
        elif name == "sort" and value.startswith("["):
            field, order = _read_json_list(name, value, str, '["id","ASC"]')
            native["sort"].append(_signed(name, field, order))
        else:
            native[name].append(value)
    _read_json_server(native, json_server)
    return native


def _read_filter(native: dict[str, list[Any]], value: str) -> None:
    try:
        wanted = json.loads(value)
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict):
        raise DialectError("filter", 'Must be a JSON object such as {"q": "lamp"}.')
    for name, one_or_more in wanted.items():
        native[name].extend(one_or_more if isinstance(one_or_more, list) else [one_or_more])


def _read_json_list(name: str, value: str, kind: type, example: str) -> Sequence[Any]:
    try:
        pair = json.loads(value)
    except (ValueError, RecursionError):
        pair = None
    if not isinstance(pair, list) or [type(part) for part in pair] != [kind, kind]:
        raise DialectError(name, f"Must be a JSON array such as {example}.")
    return pair


def _read_json_server(native: dict[str, list[Any]], given: dict[str, str]) -> None:
    if "_start" in given or "_end" in given:
        start, end = (_whole_number(name, given) for name in ("_start", "_end"))
        _set_page(native, "_end" if "_end" in given else "_start", start or 0, end)
    if "_sort" in given:
        fields = [field for field in given["_sort"].split(",") if field]
        orders = [order for order in given.get("_order", "").split(",") if order]
        orders += ["asc"] * (len(fields) - len(orders))
        native["sort"].extend(
            _signed("_order", field, order) for field, order in zip(fields, orders, strict=False)
        )


def _whole_number(name: str, given: dict[str, str]) -> int | None:
    if name not in given:
        return None
    if not given[name].isascii() or not given[name].isdigit() or len(given[name]) > 16:
        raise DialectError(name, "Must be a whole number.")
    return int(given[name])


def _set_page(native: dict[str, list[Any]], name: str, start: int, end: int | None) -> None:
    native["skip"].append(start)
    if end is not None:
        if end <= start:
            raise DialectError(name, "Must end after it starts.")
        native["limit"].append(end - start)


def _signed(name: str, field: str, order: str) -> str:
    match order.lower():
        case "asc":
            return field
        case "desc":
            return f"-{field}"
    raise DialectError(name, "Must be ASC or DESC.")
