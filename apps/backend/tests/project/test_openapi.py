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
from tests.documented import codes_of
from tests.project.markdown import read
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
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


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
    schemas = document["components"]["schemas"]
    wrong = {
        f"{method} {path} {status}"
        for method, path, status, answer in refusals(document)
        if body_of(schemas, answer) != ("ChangedProblem" if status == "412" else "Problem")
    }

    assert wrong == set()
    assert set(schemas["Problem"]["required"]) == PROBLEM_KEYS
    assert set(schemas["ChangedProblem"]["required"]) == PROBLEM_KEYS | {"changes"}


def refusals(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status >= "400":
                yield method, path, status, answer


def body_of(schemas: dict[str, Any], answer: dict[str, Any]) -> str:
    """Name the body that a refusal's schema adds its codes to."""
    (content,) = answer["content"].values()
    assert set(answer["content"]) == {"application/problem+json"}
    general, _ = schemas[content["schema"]["$ref"].rpartition("/")[2]]["allOf"]
    return str(general["$ref"].rpartition("/")[2])


def test_every_refusal_lists_its_codes_and_an_example(document: dict[str, Any]) -> None:
    statuses = dict(re.findall(r"(?m)^\| `(\w+)` \| (\d+) \|", read("errors.md")))
    schemas = document["components"]["schemas"]
    wrong = {
        f"{method} {path} {status} {code}"
        for method, path, status, answer in refusals(document)
        for code in codes_of(document, answer)
        if statuses.get(code) != status
    }
    examples = {
        name: schema["examples"][0]["error"] in schema["allOf"][1]["properties"]["error"]["enum"]
        for name, schema in schemas.items()
        if "allOf" in schema
    }

    assert len(statuses) > 50
    assert wrong == set()
    assert examples
    assert all(examples.values()), examples


def test_a_few_codes_stand_where_they_belong(document: dict[str, Any]) -> None:
    def codes(method: str, path: str, status: str) -> list[str]:
        return codes_of(document, document["paths"][f"/api/v1{path}"][method]["responses"][status])

    assert codes("post", "/auth/login", "401") == ["INVALID_CREDENTIALS"]
    assert codes("get", "/items/{item_id}", "404") == ["NOT_FOUND", "ITEM_NOT_FOUND"]
    assert {"EMAIL_TAKEN", "LAST_ADMIN"} <= set(codes("patch", "/users/{user_id}", "409"))
    assert "EMAIL_TAKEN" not in codes("patch", "/items/{item_id}", "409")
    assert "IDEMPOTENCY_KEY_REUSED" not in codes("patch", "/items/{item_id}", "422")
    assert "CSRF_FAILED" not in codes("get", "/items", "403")


def test_every_success_is_described_for_itself_and_has_an_example(
    document: dict[str, Any],
) -> None:
    undescribed = names_where(
        document,
        lambda _method, _path, operation: any(
            answer["description"] == "Successful Response"
            for answer in operation["responses"].values()
        ),
    )
    without_example = {
        f"{method} {path} {status}"
        for method, path, operation in operations(document)
        for status, answer in operation["responses"].items()
        if status < "300"
        and "application/json" in answer.get("content", {})
        and not answer["content"]["application/json"]["example"]
    }

    assert undescribed | without_example == set()


def test_no_header_is_an_array_and_totals_are_integers(document: dict[str, Any]) -> None:
    sent = {
        parameter["name"]
        for *_, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "header" and parameter["schema"].get("type") == "array"
    }
    totals = {
        answer["headers"]["X-Total-Count"]["schema"]["type"]
        for *_, operation in operations(document)
        for answer in operation["responses"].values()
        if "X-Total-Count" in answer.get("headers", {})
    }

    assert sent == set()
    assert totals == {"integer"}


def test_files_are_bytes_under_the_names_that_generators_know(document: dict[str, Any]) -> None:
    contents = [
        operation["responses"]["200"]["content"]
        for *_, operation in operations(document)
        if operation["operationId"].startswith("export_")
    ]
    uploads = [
        schema["properties"]["file"]["format"]
        for name, schema in document["components"]["schemas"].items()
        if name.startswith("Body_import_")
    ]

    assert len(contents) > 2
    for content in contents:
        kinds = {name: one["schema"].get("format") for name, one in content.items()}
        assert kinds == {XLSX: "binary", "text/csv": None, "application/x-ndjson": None}
    assert uploads == ["binary"] * len(uploads) != []


def test_answers_of_one_status_tell_themselves_apart(document: dict[str, Any]) -> None:
    paths = document["paths"]

    def answered(path: str) -> dict[str, Any]:
        content = paths[f"/api/v1{path}"]["post"]["responses"]["200"]["content"]
        told: dict[str, Any] = content["application/json"]["schema"]["discriminator"]
        return told

    assert answered("/auth/login")["propertyName"] == "token_type"
    assert set(answered("/auth/login")["mapping"]) == {"bearer", "cookie"}
    assert answered("/items/import")["propertyName"] == "kind"
    assert set(answered("/items/import")["mapping"]) == {"import", "preview"}


def test_login_is_the_first_of_its_tag(document: dict[str, Any]) -> None:
    of_auth = [op["operationId"] for *_, op in operations(document) if op["tags"] == ["auth"]]

    assert of_auth[0] == "login"


def statuses_of(method: str, path: str, operation: dict[str, Any]) -> set[str]:
    """Name the refusals that follow from the shape of an operation alone."""
    expected = {"400", "500"}
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
    assert used == schemes == {"OAuth2PasswordBearer", "SessionCookie", "CsrfToken"}
    assert all("security" in operation for *_, operation in operations(document))


def test_sign_in_of_the_docs_page_leads_to_the_login(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]

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
        if method == "get"
        if any(one["name"] == "after" for one in operation.get("parameters", []))
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
    paths = list(document["paths"])

    assert [path for path in paths if path.endswith("/")] == []
    assert len(set(paths)) == len(paths)


def test_a_route_without_tag_and_model_is_documented_too() -> None:
    app = create_app()

    def plain() -> dict[str, float | None]:
        return {}

    app.add_api_route("/plain", plain, methods=["POST"])
    app.add_api_route("/nothing", lambda: None, methods=["POST"], name="nothing")

    paths = app.openapi()["paths"]
    for path in ("/plain", "/nothing"):
        answers = paths[path]["post"]["responses"]
        assert answers["200"]["description"] == "The answer."
        assert answers["500"]["content"]


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
