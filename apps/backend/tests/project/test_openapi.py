"""The document that clients are generated from, and an import that asks nothing of the machine."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from app.main import create_app
from tests.assertions import PROBLEM_KEYS
from tests.server import BACKEND

METHODS = {"get", "put", "post", "delete", "patch"}
PUBLIC = {
    "login",
    "refresh",
    "register",
    "request_verification",
    "confirm_verification",
    "request_password_reset",
    "reset_password",
    "get_health",
    "get_readiness",
}
# It answers alike whether or not it created anything.
CREATES_NOTHING_TO_SHOW = {"/api/v1/auth/register"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app().openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give method, path and operation of every operation."""
    for path, item in document["paths"].items():
        assert set(item) <= METHODS
        for method, operation in item.items():
            yield method, path, operation


def names_where(document: dict[str, Any], is_wrong: Any) -> set[str]:
    """Name the operations that something is wrong with."""
    return {
        f"{method} {path}"
        for method, path, operation in operations(document)
        if is_wrong(method, path, operation)
    }


def test_document_is_of_openapi_3_1_and_names_the_product(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"]
    assert document["info"]["description"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", document["info"]["version"])
    assert len(list(operations(document))) > 15


def test_every_operation_has_a_short_id_of_its_own(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for *_, operation in operations(document)]

    assert len(set(ids)) == len(ids)
    assert [one for one in ids if not re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", one)] == []


def test_every_operation_has_one_tag_that_is_described(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"] if tag["description"]}

    found = names_where(
        document,
        lambda _method, _path, operation: (
            len(operation.get("tags", [])) != 1 or operation["tags"][0] not in described
        ),
    )

    assert found == set()


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    found = names_where(
        document,
        lambda _method, _path, operation: (
            not operation.get("summary")
            or not operation.get("description", "").rstrip("\n").endswith(".")
        ),
    )

    assert found == set()


def test_every_answer_and_parameter_is_described(document: dict[str, Any]) -> None:
    answers = names_where(
        document,
        lambda _method, _path, operation: any(
            not answer["description"] for answer in operation["responses"].values()
        ),
    )
    parameters = {
        f"{path} {parameter['name']}"
        for _method, path, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and not parameter.get("description")
    }

    assert answers | parameters == set()


def test_every_refusal_is_documented_as_the_one_error_body(document: dict[str, Any]) -> None:
    def expected(status: str) -> dict[str, Any]:
        name = "ChangedProblem" if status == "412" else "Problem"
        return {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}

    schemas = document["components"]["schemas"]
    wrong = {
        f"{method} {path} {status}"
        for method, path, operation in operations(document)
        for status, answer in operation["responses"].items()
        if status >= "400" and answer["content"] != expected(status)
    }

    assert wrong == set()
    assert set(schemas["Problem"]["required"]) == PROBLEM_KEYS
    assert set(schemas["ChangedProblem"]["required"]) == PROBLEM_KEYS | {"changes"}


def statuses_of(method: str, path: str, operation: dict[str, Any]) -> set[str]:
    """Name the refusals that follow from the shape of an operation alone."""
    expected = {"500"}
    if operation["operationId"] not in PUBLIC:
        expected |= {"401", "403", "503"}
    if "requestBody" in operation:
        expected |= {"400", "413", "415", "422"}
    if operation.get("parameters"):
        expected |= {"422"}
    if path.startswith("/api/v1/"):
        expected |= {"429"}
    if path.endswith("_id}") or "{" in path:
        expected |= {"404"}
    if operation["operationId"] == "login":
        expected |= {"401"}
        expected -= {"415"}
    if operation["operationId"] == "get_readiness":
        expected |= {"503"}
    if method in {"patch", "put"}:
        expected |= {"409"}
    return expected


def test_every_operation_documents_the_refusals_of_its_shape(document: dict[str, Any]) -> None:
    missing = {
        f"{method} {path}": sorted(more)
        for method, path, operation in operations(document)
        if (more := statuses_of(method, path, operation) - set(operation["responses"]))
    }

    assert missing == {}


def test_every_success_with_a_body_has_a_named_schema(document: dict[str, Any]) -> None:
    unnamed = {
        f"{method} {path} {status}"
        for method, path, operation in operations(document)
        for status, answer in operation["responses"].items()
        if status < "300" and status != "204" and "text/csv" not in answer["content"]
        if not re.search(
            r'"#/components/schemas/\w+"', json.dumps(answer["content"]["application/json"])
        )
    }

    assert unnamed == set()


def test_every_operation_declares_its_security(document: dict[str, Any]) -> None:
    schemes = set(document["components"]["securitySchemes"])

    public = {op["operationId"] for *_, op in operations(document) if op["security"] == []}
    used = {
        name
        for *_, operation in operations(document)
        for alternative in operation["security"]
        for name in alternative
    }

    assert public == PUBLIC
    assert used == schemes
    assert all("security" in operation for *_, operation in operations(document))


def test_sign_in_of_the_docs_page_leads_to_the_login(document: dict[str, Any]) -> None:
    (scheme,) = document["components"]["securitySchemes"].values()

    flow = scheme["flows"]["password"]
    assert scheme["type"] == "oauth2"
    assert f"/api/v1/{flow['tokenUrl']}".replace("/api/v1//", "/") in document["paths"]


def test_creations_name_their_place_and_lists_their_pages(document: dict[str, Any]) -> None:
    created = {
        path: set(operation["responses"]["201"].get("headers", {}))
        for method, path, operation in operations(document)
        if "201" in operation["responses"] and path not in CREATES_NOTHING_TO_SHOW
        if not path.endswith("/bulk")  # Many places.
    }
    listed = {
        path: set(operation["responses"]["200"].get("headers", {}))
        for method, path, operation in operations(document)
        if method == "get" and path.endswith(("s/", "/items"))
    }

    assert len(created) >= 2
    assert all("Location" in headers for headers in created.values())
    assert len(listed) >= 3
    for headers in listed.values():
        assert headers >= {
            "X-Total-Count",
            "X-Total-Count-Estimated",
            "Content-Range",
            "Link",
            "X-Next-Cursor",
        }


def test_document_holds_no_parameters_of_the_dialects(document: dict[str, Any]) -> None:
    names = {
        parameter["name"]
        for *_, operation in operations(document)
        for parameter in operation.get("parameters", [])
    }

    assert names & {"filter", "range", "_start", "_end", "_sort", "_order"} == set()


def test_document_lists_each_path_once(document: dict[str, Any]) -> None:
    paths = [path.rstrip("/") for path in document["paths"]]

    assert len(set(paths)) == len(paths)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))

    assert names == set(document["components"]["schemas"])


def test_document_names_no_secrets_in_what_it_shows(document: dict[str, Any]) -> None:
    shown = {
        name: set(schema["properties"])
        for name, schema in document["components"]["schemas"].items()
        if name.endswith("Public") and name != "TokenPublic"
    }

    assert len(shown) >= 2
    for fields in shown.values():
        assert [one for one in fields if re.search("password|hash|secret|deleted", one)] == []


# --- Importing.

WATCHED = """
import sys
touched = []
def watch(event, arguments):
    if event in {"socket.connect", "sqlite3.connect", "socket.getaddrinfo", "subprocess.Popen"}:
        touched.append(event)
    if event == "os.mkdir" or event == "open" and isinstance(arguments[1], str):
        if not set(arguments[1] if event == "open" else "w").isdisjoint("wax+"):
            touched.append(f"{event} {arguments[0]}")
sys.addaudithook(watch)
sys.dont_write_bytecode = True
"""


PUT_TOGETHER = """
import app.main
import os
from app.core.config import get_settings
os.environ.clear()
app.main.create_app()
os.environ["DATABASE_URL"] = "postgresql://nobody:x@127.0.0.1:1/none"
get_settings.cache_clear()
app.main.create_app()
print(touched)
"""


def test_importing_the_application_needs_no_settings_and_touches_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WATCHED + PUT_TOGETHER],
        cwd=BACKEND,
        env={"ENVIRONMENT": "nonsense", "DATABASE_URL": "nonsense"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout == "[]\n"
