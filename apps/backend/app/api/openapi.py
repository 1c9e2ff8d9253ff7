"""The OpenAPI document: what every operation has in common is added here, once."""

import re
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from app.api.cookies import access_cookie
from app.api.examples import example_of
from app.api.problems import BARE, MODULES, codes_of, problem
from app.core.config import get_settings
from app.middleware.problem import MEDIA_TYPE
from app.schemas.audit import DryRun
from app.schemas.problem import Problem

DESCRIPTION: Final = """\
The backend of internal admin panels: users, roles and items over REST.

Sign in at `POST /auth/login`, and send the token as `Authorization: Bearer …`. Every refusal has
one body (`application/problem+json`); its `error` is for programs and never changes. Lists are
bare arrays with their totals in headers, and understand the list parameters of `react-admin` and
`refine` beside those shown here.
"""
BEARER, COOKIE, CSRF = "OAuth2PasswordBearer", "SessionCookie", "CsrfToken"
TAGS: Final = [
    {"name": "auth", "description": "Signing in and out, and on which devices you are."},
    {"name": "accounts", "description": "Registration, verification, passwords."},
    {"name": "users", "description": "People, their roles and departments, and yourself."},
    {"name": "items", "description": "What users own."},
    {"name": "usage", "description": "Tokens that users consume, held against their quotas."},
    {"name": "statistics", "description": "Figures, and how they went over time."},
    {"name": "audit", "description": "Who did what."},
    {"name": "letters", "description": "What was sent by e-mail, waits, or could not be."},
    {"name": "jobs", "description": "What is done in the background."},
    {"name": "health", "description": "For probes and load balancers."},
]


def operation_id(route: APIRoute) -> str:
    return route.name


def document(app: FastAPI) -> dict[str, Any]:
    """Build the document once."""
    if app.openapi_schema is None:
        settings = get_settings()
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=DESCRIPTION,
            routes=app.routes,
            tags=TAGS,
            contact={"name": app.title, "url": settings.PUBLIC_URL},
            license_info={"name": "MIT", "identifier": "MIT"},
            servers=[{"url": "/", "description": "This server."}],
        )
        _, ours = models_json_schema(  # No route names these, since every route may answer them.
            [(Problem, "serialization"), (DryRun, "serialization")],
            ref_template="#/components/schemas/{model}",
        )
        schemas = schema["components"]["schemas"] | ours["$defs"]
        unused = {"HTTPValidationError", "ValidationError"}
        schemas = {name: one for name, one in schemas.items() if name not in unused}
        # Both forms are answered; generators and linters expect the bare one.
        paths = {path.rstrip("/"): operations for path, operations in schema["paths"].items()}
        for path, operations in paths.items():
            for method, operation in operations.items():
                _complete(path, method, operation, schemas)
        schema["paths"], schema["components"]["schemas"] = paths, schemas
        _add_security_schemes(schema["components"]["securitySchemes"])
        app.openapi_schema = _with_whole_bounds(schema)
    return app.openapi_schema


def _add_security_schemes(schemes: dict[str, Any]) -> None:
    """Complete the one that FastAPI knows of."""
    login = f"{get_settings().API_V1_STR}/auth/login"
    schemes[BEARER]["flows"]["password"]["tokenUrl"] = login
    schemes[COOKIE] = {
        "type": "apiKey",
        "in": "cookie",
        "name": access_cookie(),
        "description": f"Set by `POST {login}?mode=cookie`.",
    }
    schemes[CSRF] = {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "The value of the cookie `csrf_token`; for changes by cookie.",
    }


def _complete(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Add what follows from the shape of an operation, and need not be said on its route."""
    answers, kinds = operation["responses"], _kinds(path, method, operation)
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "limit":
            parameter["schema"]["maximum"] = get_settings().MAX_PAGE_SIZE
        if parameter["name"] == "dry_run":
            answers["200"] = _or_dry_run(answers.get("200"))
    if "requestBody" in operation:  # Generated clients send the first: of login that is JSON.
        content = operation["requestBody"]["content"]
        operation["requestBody"]["content"] = dict(sorted(content.items()))
    for status in _refusals(path, operation):
        answers.setdefault(str(status), {})["description"] = problem(status)["description"]
    csrf: dict[str, Any] = {CSRF: []} if "Write" in kinds else {}
    ways_in = [{BEARER: []}, {COOKIE: [], **csrf}]
    operation["security"] = ways_in if "security" in operation else []
    for status, answer in answers.items():
        if status < "400":
            _describe(answer, schemas)
        else:
            (tag, *_) = operation.get("tags", [""])
            name = _add_problem(schemas, int(status), kinds, tag)
            reference = {"$ref": f"#/components/schemas/{name}"}
            answer["content"] = {MEDIA_TYPE: {"schema": reference}}
    operation["responses"] = dict(sorted(answers.items()))


def _kinds(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    holds = {
        "": True,
        "Write": method != "get" and "security" in operation,
        "List": "after" in names,
        "Keyed": "Idempotency-Key" in names,
        "Series": "interval" in names,
        "Token": path.endswith(("/confirm", "/reset")),
        "Consumption": method == "post" and path.endswith("/usage"),
    }
    return [kind for kind in MODULES if holds.get(kind, f"/{kind.lower()}" in path)]


def _named_codes(status: int, kinds: list[str], tag: str) -> tuple[str, list[str]]:
    """Return the codes that a status may have here, and the name for what has the same."""
    parts = {kind: codes_of(status, MODULES[kind]) for kind in kinds}
    if status in BARE:
        parts[""] = BARE[status]
    if status in {401, 403} and "Login" in kinds:
        parts[""] = []
    if tag and (status == 404 or (status > 401 and "Write" in kinds)):
        parts[tag.title()] = codes_of(status, (f"crud.{tag.removesuffix('s')}",))
    name, codes = "", list[str]()
    for part, found in parts.items():
        more = [code for code in dict.fromkeys(found) if code not in codes]
        name += part if more else ""
        codes += more
    return f"{name}Problem{status}", codes


def _add_problem(schemas: dict[str, Any], status: int, kinds: list[str], tag: str) -> str:
    """Name the error body with these codes. Operations share it."""
    name, codes = _named_codes(status, kinds, tag)
    model, text = problem(status)["model"].__name__, problem(status)["description"]
    own = {"status": status, "title": HTTPStatus(status).phrase, "error": codes[0]}
    error = {"type": "string", "enum": codes}
    schemas[name] = {
        "allOf": [
            {"$ref": f"#/components/schemas/{model}"},
            {"required": ["error"], "properties": {"error": error}},
        ],
        "examples": [example_of(schemas[model], schemas) | own | {"detail": text, "message": text}],
    }
    return name


def _describe(answer: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Name what a success brings, unless its route does; and show an example."""
    body = answer.get("content", {}).get("application/json")
    if body:
        body["example"] = example_of(body["schema"], schemas)
    if answer["description"] == "Successful Response":
        answer["description"] = _description_of(body["schema"], schemas) if body else "It is done."


def _description_of(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Say of a model what it says itself; of others `The item.`, or `The items.` of a list."""
    models = re.findall(r"schemas/(\w+)'", str(schema))
    if not models:
        return "The answer."
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", models[0].removesuffix("Public")).lower()
    many = "s" if "'items'" in str(schema) else ""
    return schemas[models[0]].get("description") or f"The {words}{many}."


def _or_dry_run(answer: dict[str, Any] | None) -> dict[str, Any]:
    """Document what `dry_run=true` answers, beside what a success does."""
    told: dict[str, Any] = {"$ref": "#/components/schemas/DryRun"}
    if answer is None:
        content = {"application/json": {"schema": told}}
        return {"description": "With `dry_run=true`: what would change.", "content": content}
    done = answer["content"]["application/json"]["schema"]
    if "oneOf" in done:  # An import names its own.
        return answer
    content = {"application/json": {"schema": {"anyOf": [done, told]}}}
    return answer | {"content": content}


def _refusals(path: str, operation: dict[str, Any]) -> set[int]:
    """Return the statuses that follow from the shape of an operation."""
    statuses = {400, 500, 503}
    if path.startswith(get_settings().API_V1_STR):
        statuses |= {422, 429}  # Unknown parameters are refused everywhere.
    if "requestBody" in operation:
        statuses |= {413, 415}
    if "security" in operation:
        statuses |= {401, 403}
    return statuses


def _with_whole_bounds(part: Any) -> Any:
    """Write the bounds of integers as integers; the framework has them pass through a float."""
    if isinstance(part, dict):
        return {
            key: int(value)
            if key in {"minimum", "maximum"} and isinstance(value, float) and value.is_integer()
            else _with_whole_bounds(value)
            for key, value in part.items()
        }
    if isinstance(part, list):
        return [_with_whole_bounds(value) for value in part]
    return part
