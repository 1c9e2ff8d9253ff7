"""Bodies as bytes: good ones, and such as no reader of JSON or of forms should like."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
UPLOAD: Final = "multipart/form-data"
BOUNDARY: Final = "here-it-parts"
TOO_LARGE: Final = 40_000

# What stands in JSON where a value should.
LITERALS: Final = {
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "beyond a float": b"1e999",
    "a float": b"1.0",
    "minus nothing": b"-0",
    "beyond 64 bits": b"123456789012345678901234567890",
    "beyond what is converted": b"9" * 5000,
    "a lone surrogate": rb'"\ud800"',
    "a NUL": rb'"\u0000"',
    "an unknown escape": rb'"\x"',
    "a line break": b'"a\nb"',
    "bad UTF-8": b'"\xff"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "nested deeply": b"[" * 3000 + b"]" * 3000,
    "a number with a zero": b"01",
    "nothing": b"",
}
TEXTS: Final = {
    "no body": b"",
    "blanks": b" \r\n",
    "a brace": b"{",
    "bad UTF-8": b"\xff",
    "a NUL": b"\0",
    "null": b"null",
    "true": b"true",
    "a number": b"7",
    "a text": b'"text"',
    "an array": b"[]",
    "an array of objects": b"[{}]",
    "an object": b"{}",
    "NaN": b"NaN",
    "deep": b"[" * 5000,
    "single quotes": b"{'a': 1}",
    "too large": b'{"a": "' + b"x" * TOO_LARGE + b'"}',
}
Named = Iterator[tuple[str, bytes]]


def encode(value: Mapping[str, Any], media_type: str) -> bytes:
    if media_type == JSON:
        return json.dumps(value).encode()
    if media_type == FORM:
        return urlencode({name: one for name, one in value.items() if one is not None}).encode()
    return multipart(*((name, f"{name}.csv", str(one)) for name, one in value.items()))


def multipart(*parts: tuple[str, str | None, str]) -> bytes:
    """Each is a name, a file's name or None, and what it holds."""
    lines = []
    for name, file, content in parts:
        named = f'; filename="{file}"' if file else ""
        lines += [f"--{BOUNDARY}", f'Content-Disposition: form-data; name="{name}"{named}']
        lines += ["", content]
    return "\r\n".join([*lines, f"--{BOUNDARY}--", ""]).encode()


def content_type_of(media_type: str) -> str:
    return f"{UPLOAD}; boundary={BOUNDARY}" if media_type == UPLOAD else media_type


def malformed(good: Mapping[str, Any], media_type: str) -> Named:
    yield from TEXTS.items()
    body = encode(good, media_type)
    if media_type == JSON:
        yield from _malformed_json(good, body)
    elif media_type == FORM:
        yield from _malformed_form(good, body)
    else:
        yield from _malformed_upload(good, body)


def _malformed_json(good: Mapping[str, Any], body: bytes) -> Named:
    yield "cut off", body[:-3]
    yield "two values", body + body
    yield "a comma at the end", body[:-1] + b",}"
    yield "a mark before", b"\xef\xbb\xbf" + body
    yield "UTF-16", json.dumps(good).encode("utf-16")
    yield "UTF-16 without a mark", json.dumps(good).encode("utf-16-le")
    yield "blanks around", b"\n" + body + b"\t"
    name = next(iter(good), "a")
    before = json.dumps({**good, name: "@"}).encode()
    for what, literal in LITERALS.items():
        yield f"{name} is {what}", before.replace(b'"@"', literal)
    yield "a name twice", body[:-1] + b", " + body[1:] if good else b'{"a": 1, "a": 2}'
    yield "a name that is a lone surrogate", rb'{"\ud800": 1}'
    yield "a name that is empty", b'{"": 1}'


def _malformed_form(good: Mapping[str, Any], body: bytes) -> Named:
    for name in good:
        yield f"{name} missing", encode({key: good[key] for key in good if key != name}, FORM)
        yield f"{name} empty", encode({**good, name: ""}, FORM)
        yield f"{name} too long", encode({**good, name: "x" * 1000}, FORM)
        yield f"{name} twice", body + b"&" + encode({name: good[name]}, FORM)
        yield f"{name} of bad UTF-8", encode({**good, name: "@"}, FORM).replace(b"%40", b"%FF")
    yield "an unknown field", body + b"&nope=1"
    yield "fields without values", b"&&=&;&%&%zz"


def _malformed_upload(good: Mapping[str, Any], body: bytes) -> Named:
    (name, content), *_ = good.items()
    yield "no file", multipart()
    yield "a text instead of the file", multipart((name, None, content))
    yield "an empty file", multipart((name, "a.csv", ""))
    yield "a file of an unknown kind", multipart((name, "a.bin", content))
    yield "a file that is no CSV", multipart((name, "a.csv", '"\x01\n"",,"\n'))
    yield "a file with an unknown column", multipart((name, "a.csv", "nope\n1\n"))
    yield "two files", multipart((name, "a.csv", content), (name, "b.csv", content))
    yield "another field", multipart((name, "a.csv", content), ("nope", None, "1"))
    yield "many fields", multipart(*(("nope", None, "1") for _ in range(20)))
    yield "a part without a name", body.replace(b"; name=", b"; nope=")
