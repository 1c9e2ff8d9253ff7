"""The OpenAPI document: what every operation has in common is added here, once."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from app.api.problems import problem
from app.core.config import get_settings
from app.middleware.problem import MEDIA_TYPE
from app.schemas.dry_run import DryRun
from app.schemas.problem import Problem

DESCRIPTION: Final = """\
The backend of internal admin panels: users, roles and items over REST.

Sign in at `POST /auth/login`, and send the token as `Authorization: Bearer …`. Every refusal has
one body (`application/problem+json`); its `error` is for programs and never changes. Lists are
bare arrays with their totals in headers, and understand the list parameters of `react-admin` and
`refine` beside those shown here.
"""
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
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=DESCRIPTION,
            routes=app.routes,
            tags=TAGS,
            license_info={"name": "MIT", "identifier": "MIT"},
            servers=[{"url": "/", "description": "This server."}],
        )
        _, ours = models_json_schema(  # No route names these, since every route may answer them.
            [(Problem, "serialization"), (DryRun, "serialization")],
            ref_template="#/components/schemas/{model}",
        )
        schemas = schema["components"]["schemas"] | ours["$defs"]
        unused = {"HTTPValidationError", "ValidationError"}
        schema["components"]["schemas"] = {
            name: one for name, one in schemas.items() if name not in unused
        }
        prefix = get_settings().API_V1_STR
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                _complete(operation, is_limited=path.startswith(prefix))
        for scheme in schema["components"]["securitySchemes"].values():
            scheme["flows"]["password"]["tokenUrl"] = f"{get_settings().API_V1_STR}/auth/login"
        app.openapi_schema = _with_whole_bounds(schema)
    return app.openapi_schema


def _complete(operation: dict[str, Any], *, is_limited: bool) -> None:
    """Add the refusals that need no naming on the route, and the media type of all of them."""
    answers = operation["responses"]
    is_public = "security" not in operation
    for status in _refusals(operation) | ({429} if is_limited else set()):
        answers[str(status)] = {"description": problem(status)["description"], "content": {}}
    for status, answer in answers.items():
        if status >= "400":
            reference = {"$ref": f"#/components/schemas/{problem(int(status))['model'].__name__}"}
            answer["content"] = {MEDIA_TYPE: {"schema": reference}}
    if is_public:
        operation["security"] = []
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "limit":
            parameter["schema"]["maximum"] = get_settings().MAX_PAGE_SIZE
        if parameter["name"] == "dry_run":
            answers["200"] = _or_dry_run(answers.get("200"))
    operation["responses"] = dict(sorted(answers.items()))


def _or_dry_run(answer: dict[str, Any] | None) -> dict[str, Any]:
    """Document what `dry_run=true` answers, beside what a success does."""
    told: dict[str, Any] = {"$ref": "#/components/schemas/DryRun"}
    if answer is None:
        content = {"application/json": {"schema": told}}
        return {"description": "With `dry_run=true`: what would change.", "content": content}
    done = answer["content"]["application/json"]["schema"]
    content = {"application/json": {"schema": {"anyOf": [done, told]}}}
    return answer | {"content": content}


def _refusals(operation: dict[str, Any]) -> set[int]:
    """Return the statuses that follow from the shape of an operation."""
    statuses = {500, 503}
    if "requestBody" in operation:
        statuses |= {400, 413, 415, 422}
    if "security" in operation:
        statuses |= {401, 403}
    if operation.get("parameters"):
        statuses.add(422)
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
