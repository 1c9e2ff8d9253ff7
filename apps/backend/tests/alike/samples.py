"""Values that a schema of the OpenAPI document takes, and values that it does not."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

Schema = Mapping[str, Any]
Named = Iterator[tuple[str, Any]]

OF_TYPE: Final[Mapping[str | None, Any]] = {
    "integer": 1,
    "boolean": True,
    "string": "text",
    None: 1,
}
OF_FORMAT: Final = {"date": "2029-12-31", "date-time": "2029-12-31T12:00:00Z"}
# Good alone, but not beside the rest; or what few may set; or what takes long. Left out of objects
# that do without.
ONLY_ALONE: Final = {
    "current_password",
    "department",
    "email",
    "filter",
    "is_active",
    "is_verified",
    "must_change_password",
    "password",
    "role",
    "token_quota",
}
KINDS_OF_WRONG: Final = 3  # So many times fewer: fields take turns in what is wrong with them.


class Samples:
    """`known` are values that no schema knows, by `field` or, before that, by `Schema.field`."""

    def __init__(self, document: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        self._schemas = document["components"]["schemas"]
        self._known = known

    def _resolve(self, schema: Schema) -> Schema:
        """Follow a reference, and of several choices take the first that is not null."""
        while True:
            if "$ref" in schema:
                schema = self._schemas[schema["$ref"].rpartition("/")[2]]
            elif "anyOf" in schema:
                schema = next(one for one in schema["anyOf"] if one != {"type": "null"})
            else:
                return schema

    def _fields(self, schema: Schema) -> Mapping[str, Schema]:
        fields: Mapping[str, Schema] = self._resolve(schema).get("properties", {})
        return fields

    def good(self, schema: Schema, name: str = "") -> Any:
        schema = self._resolve(schema)
        if name in self._known:
            return self._known[name]
        if "examples" in schema:
            return schema["examples"][0]
        choices = self.choices(schema)
        if choices:
            return choices[-1]
        match schema.get("type"):
            case "object":
                required = set(schema.get("required", ()))
                names = self._fields(schema).keys() - (ONLY_ALONE - required)
                return {field: self._field(schema, field) for field in sorted(names)}
            case "array":
                return [self.good(schema["items"], name)]
            case kind:
                return OF_FORMAT.get(schema.get("format", ""), OF_TYPE[kind])

    def _field(self, schema: Schema, field: str) -> Any:
        qualified = f"{schema.get('title')}.{field}"
        name = qualified if qualified in self._known else field
        return self.good(self._fields(schema)[field], name)

    def choices(self, schema: Schema) -> list[Any]:
        """Return every value of a schema that names them; none of any other."""
        schema = self._resolve(schema)
        if schema.get("type") == "boolean":
            return [False, True]
        choices: list[Any] = [schema["const"]] if "const" in schema else schema.get("enum", [])
        return choices

    def wrong(self, schema: Schema) -> Named:
        """Give wrong values for a field, each with what is wrong with it."""
        schema = self._resolve(schema)
        kind = schema.get("type")
        if kind is None:
            return
        yield "of another type", 7 if kind == "string" else "word"
        if "minimum" in schema:
            yield "too small", schema["minimum"] - 1
        if "maxLength" in schema:
            yield "too long", "x" * (schema["maxLength"] + 1)
        yield "null", None
        if "maximum" in schema:
            yield "too large", schema["maximum"] + 1
        if schema.get("minLength"):
            yield "empty", ""
        if kind == "string":
            yield "unstorable", "a\0b"
        yield "a list", [[]]

    def others(self, schema: Schema, good: Mapping[str, Any]) -> Named:
        """Give other objects than the good one, right and wrong."""
        schema = self._resolve(schema)
        least = {name: good[name] for name in schema.get("required", ())}
        yield "what is required", least
        for name in self._fields(schema):
            yield f"{name} alone", {**least, name: self._field(schema, name)}
        yield from self._spoiled(schema, good)

    def _spoiled(self, schema: Schema, good: Mapping[str, Any], place: str = "") -> Named:
        """Give objects that are good but for one place, also deep inside."""
        schema = self._resolve(schema)
        yield f"{place}nope unknown", {**good, "nope": 1}
        for name in schema.get("required", ()):
            yield f"{place}{name} missing", {key: good[key] for key in good if key != name}
        for index, (name, given) in enumerate(self._fields(schema).items()):
            for what, value in islice(
                self.wrong(given), index % KINDS_OF_WRONG, None, KINDS_OF_WRONG
            ):
                yield f"{place}{name} {what}", {**good, name: value}
            field = self._resolve(given)
            inner = field.get("items", field)
            if self._fields(inner):
                for what, value in self._spoiled(inner, self.good(inner), f"{place}{name}."):
                    yield what, {**good, name: [value] if "items" in field else value}
