"""Examples for the OpenAPI document, made from the schemas, so that every answer has one."""

from collections.abc import Mapping
from typing import Any, Final

_OF_KIND: Final[Mapping[Any, Any]] = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T09:00:00Z",
    "boolean": True,
    "integer": 1,
    "string": "text",
}


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Return what the schema gives as its example, else something of its type."""
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices and "examples" not in schema:
        return example_of(choices[0], schemas)
    for given in (schema.get("examples"), schema.get("enum"), [schema.get("const")]):
        if given and given[0] is not None:
            return given[0]
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        return {name: example_of(field, schemas) for name, field in fields.items()}
    kinds = (schema.get("format"), schema.get("type", "string"))
    return next((_OF_KIND[kind] for kind in kinds if kind in _OF_KIND), None)
