"""All that an operation is asked: as its document says, and otherwise."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, urlencode

from tests.alike.bodies import FORM, JSON, UPLOAD, content_type_of, encode, malformed
from tests.alike.operations import Case, Operation
from tests.alike.samples import Samples, Schema
from tests.alike.stage import Stage

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
# In the place of an id.
NO_IDS: Final = (
    *("word", "me", "0", "+1", "01", "1.0", "999999", "9007199254740992", "9" * 25),
    *("%20", "%00", "%FF", "%2F", "%D9%A3"),
)
QUERIES: Final = {
    "an unknown parameter": "nope=1",
    "an unknown parameter twice": "nope=1&nope=2",
    "two unknown parameters": "zzz=1&aaa=2",
    "an unknown parameter without a value": "nope",
    "a parameter without a name": "=1",
    "separators alone": "&&;",
    "bad UTF-8": "%FF=%FE",
    "a bad escape": "%zz",
    "a long query": f"nope={'x' * 3000}",
}
PANEL: Final = "https://panel.example.com"
HEADERS: Final = {
    "Origin": PANEL,
    "Host": "foreign.example.com",
    "Accept": "text/html",
    "Prefer": "return=representation",
    "X-Request-ID": "mine",
    "X-Forwarded-For": "192.0.2.9",
    "Range": "bytes=0-1",
}
PREFLIGHT: Final = (("Origin", PANEL), ("Access-Control-Request-Method", "POST"))
TAGS: Final = ("*", '"1"', 'W/"1"', '"999"', '"999", "1"', "1", "", '"')
KEY: Final = "Idempotency-Key"
BAD_KEYS: Final = ("a key", "k" * 256, "", "\x7f")
# On SQLite the job waits for the transaction in which the key is claimed, and answers 503.
WITHOUT_KEY: Final = {"POST /api/v1/jobs/{name}/run"}
MEDIA_TYPES: Final = (
    *("text/plain", "application/json; charset=utf-8", "APPLICATION/JSON", "json", ";"),
    *("application/vnd.api+json", "application/json, text/plain", FORM, UPLOAD, None),
)


class Cases:
    def __init__(self, operation: Operation, document: Mapping[str, Any], stage: Stage) -> None:
        self._operation = operation
        self._stage = stage
        self._samples = Samples(document, stage.known(operation.path))
        self.good = self._good()

    def __iter__(self) -> Iterator[Case]:
        yield self.good
        yield from self._by_others()
        yield from self._over_limits()
        if self._operation.is_first_of_path:  # The other operations of a path have no others.
            yield from self._other_methods()
            yield from self._other_paths()
        yield from self._other_slash()
        yield from self._other_ids()
        yield from self._other_queries()
        yield from self._other_headers()
        yield from self._other_bodies()

    def _good(self) -> Case:
        operation = self._operation
        names = operation.parameters("path")
        path = {name: self._samples.good(schema, name) for name, schema in names.items()}
        case = Case(
            "as documented",
            operation.method,
            operation.path.format(**path),
            query=urlencode(self._good_query(operation.required_query)),
            who=self._stage.admin_headers,
        )
        if operation.body is None:
            return case
        media_type, schema = operation.body
        body = encode(self._samples.good(schema), media_type)
        return replace(case, content_type=content_type_of(media_type), body=body)

    def _good_query(self, names: frozenset[str]) -> dict[str, str]:
        schemas = self._operation.parameters("query")
        return {name: _text(self._samples.good(schemas[name], name)) for name in sorted(names)}

    def _other(self, name: str, **changes: Any) -> Case:
        return replace(self.good, name=name, **changes)

    def _by_others(self) -> Iterator[Case]:
        is_public = not self._operation.spec["security"]
        for name, headers in self._stage.headers.items():
            if not is_public or "cookies" in name or not headers:  # Nothing else tells who asks.
                yield self._other(f"by {name}", who=headers)
        yield self._other("a brace, by nobody", who=(), body=b"{", content_type=JSON)
        yield self._other("no body, by nobody", who=(), body=None, content_type=None)
        yield self._other("an unknown parameter, by nobody", who=(), query="nope=1")
        yield self._other("two tokens", headers=(("Authorization", "Bearer x"),))

    def _over_limits(self) -> Iterator[Case]:
        yield self._other("over the limit", is_over_limit=True)
        yield self._other("over the limit, by nobody", is_over_limit=True, who=())
        brace = {"body": b"{", "content_type": JSON}
        yield self._other("over the limit, with a brace", is_over_limit=True, **brace)

    def _other_methods(self) -> Iterator[Case]:
        for method in METHODS:
            if method not in self._operation.methods_of_path:
                yield self._other(f"by {method}", method=method)
        yield self._other("a preflight", method="OPTIONS", headers=PREFLIGHT)

    def _other_paths(self) -> Iterator[Case]:
        path = self.good.path
        yield self._other("the path in capitals", path=path.upper())
        yield self._other("the path with two slashes", path=f"{path}//")
        yield self._other("the path with a blank", path=f"{path}%20")
        yield self._other("the path with an escape", path=path.replace("h", "%68"))
        yield self._other("the path with a word more", path=f"{path.rstrip('/')}/nope")
        yield self._other("the path with a dot", path=f"{path}/.")

    def _other_slash(self) -> Iterator[Case]:
        path = self.good.path.removesuffix("/")
        path = f"{path}/" if path == self.good.path else path
        yield self._other("the other slash", path=path)
        yield self._other("the other slash, by HEAD", path=path, method="HEAD")
        yield self._other("the other slash, by nobody", path=path, who=())
        yield self._other("the other slash, an unknown parameter", path=path, query="nope=1")
        yield self._other("the other slash, a brace", path=path, body=b"{", content_type=JSON)

    def _other_ids(self) -> Iterator[Case]:
        for name in self._operation.parameters("path"):
            for value in NO_IDS:
                path = self._operation.path.replace(f"{{{name}}}", value)
                yield self._other(f"{name}={value}", path=path)

    def _other_queries(self) -> Iterator[Case]:
        before = f"{self.good.query}&" if self.good.query else ""
        for what, query in QUERIES.items():
            yield self._other(what, query=before + query)
        schemas = self._operation.parameters("query")
        # The filters of a list are many, and all read alike.
        filters = frozenset(name for name in schemas if schemas[name].get("type") == "array")
        if filters:
            yield self._with_query("all filters", self._good_query(filters))
            yield self._with_query("all filters wrong", dict.fromkeys(sorted(filters), "\0"))
        for name in sorted(schemas.keys() - filters):
            yield from self._with_parameter(name, schemas[name])

    def _with_parameter(self, name: str, schema: Schema) -> Iterator[Case]:
        good = self._samples.good(schema, name)
        for value in self._samples.choices(schema) or [good]:
            case = self._with_query(f"{name}={value}", {name: _text(value)})
            yield replace(case, may_crash=name == "dry_run")
        for what, value in self._samples.wrong(schema):
            yield self._with_query(f"{name} {what}", {name: _text(value)})
        twice = f"{self.good.query}&{urlencode({name: _text(good)})}&{name}={quote(_text(good))}"
        yield self._other(f"{name} twice", query=twice)
        yield self._with_query(f"{name} empty", {name: ""})

    def _with_query(self, name: str, query: Mapping[str, str]) -> Case:
        required = self._good_query(self._operation.required_query)
        return self._other(name, query=urlencode({**required, **query}))

    def _other_headers(self) -> Iterator[Case]:
        for name, value in HEADERS.items():
            yield self._with_headers((name, value))
        for name in sorted(self._operation.parameters("header").keys() - {KEY}):
            for value in TAGS:
                yield self._with_headers((name, value))
            yield self._with_headers((name, '"999"'), (name, '"1"'))
        if KEY in self._operation.parameters("header"):
            for value in BAD_KEYS:
                yield self._with_headers((KEY, value))
            yield self._with_headers((KEY, "one"), (KEY, "two"))
            if str(self._operation) not in WITHOUT_KEY:
                yield self._other("a key", only_ours=((KEY, "a-key-of-mine"),))

    def _with_headers(self, *headers: tuple[str, str]) -> Case:
        return self._other(
            " and ".join(f"{name}: {value}" for name, value in headers), headers=headers
        )

    def _other_bodies(self) -> Iterator[Case]:
        if self._operation.body is None:
            yield self._other("a body", body=b'{"a": 1}', content_type=JSON)
            yield self._other("a brace", body=b"{", content_type=JSON)
            return
        media_type, schema = self._operation.body
        good = self._samples.good(schema)
        yield self._other("no body, and no type", body=None, content_type=None)
        yield self._other("nothing, as a form", body=b"", content_type=FORM)
        yield self._other("nothing, as text", body=b"", content_type="text/plain")
        for kind in MEDIA_TYPES:
            yield self._other(f"as {kind}", content_type=kind)
        for what, body in malformed(good, media_type):
            yield self._other(what, body=body)
        if media_type == JSON and self._operation.method != "PUT":  # It is PATCH by another name.
            for what, value in self._samples.others(schema, good):
                yield self._other(what, body=encode(value, JSON))


def _text(value: Any) -> str:
    """Write a value as a query does."""
    if isinstance(value, list):
        return _text(value[0]) if value else ""
    return str(value).lower() if isinstance(value, bool) else str(value)
