"""Our own way of handling a request answers as FastAPI's own would: every operation of the OpenAPI
document is asked both ways, well and badly, and leaves the same in the database.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import pytest
import time_machine
from fastapi import FastAPI, HTTPException
from fastapi.dependencies.models import Dependant
from sqlalchemy import create_engine

from app.api.api import route_contexts
from app.core.config import get_settings
from app.main import create_app
from tests.alike.answers import BothWays, differences
from tests.alike.cases import Cases
from tests.alike.operations import Case, Operation, operations_of
from tests.alike.stage import NOW, Stage
from tests.settings import changed_settings

DOCUMENT = create_app().openapi()
MOST_TOLD = 10
UNDOCUMENTED = (
    *("/", "/nope", "/docs", "/docs/", "/docs/assets/swagger-ui.css", "/docs/assets/nope"),
    *("/account", "/account/", "/account/verify", "/account/nope", "/account/assets/nope"),
    "/api/v1/openapi.json",
    *(
        "/api/v1",
        "/api/v1/",
        "/api/v1/nope",
        "/api/v1//items",
        "/api/v1/items/1/nope",
        "/API/V1/items",
    ),
)

every_operation = pytest.mark.parametrize("operation", operations_of(DOCUMENT), ids=str)


@pytest.fixture(scope="module")
def app(database: None) -> Iterator[FastAPI]:
    settings = {
        "RATE_LIMIT_ENABLED": "true",
        "OPEN_REGISTRATION": "true",
        "ALLOWED_HOSTS": "testserver",
        "ALLOWED_ORIGINS": "https://panel.example.com",
        "MAX_BODY_BYTES": "20000",
        "MAX_IMPORT_BYTES": "20000",
    }
    with changed_settings(**settings), time_machine.travel(NOW, tick=False):
        yield create_app()


@pytest.fixture(scope="module")
def stage(app: FastAPI) -> Iterator[Stage]:
    engine = create_engine(get_settings().database_url)
    yield Stage(app, engine)
    engine.dispose()


@pytest.fixture
def both_ways(
    app: FastAPI, stage: Stage, statements: list[str], caplog: pytest.LogCaptureFixture
) -> BothWays:
    caplog.set_level(logging.CRITICAL)  # A failure tells which request it is about.
    stage.snapshot.undo()
    return BothWays(app, stage, statements)


@every_operation
def test_one_visit_answers_every_operation_as_fastapi_does(
    operation: Operation, both_ways: BothWays, stage: Stage
) -> None:
    cases = Cases(operation, DOCUMENT, stage)

    stock = asyncio.run(both_ways.by_stock(cases.good))
    found = asyncio.run(compare(both_ways, cases))

    assert stock.status < 400, f"What is documented is refused: {cases.good}\n{stock.body}"
    assert not found, f"{operation}: {len(found)} differ\n\n" + "\n".join(found[:MOST_TOLD])
    assert not any(stage.snapshot.undo().values()), "Something was written unnoticed."


@pytest.mark.parametrize("path", UNDOCUMENTED)
def test_one_visit_leaves_other_paths_as_they_are(path: str, both_ways: BothWays) -> None:
    methods = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
    cases = [
        Case("undocumented", method, path, query) for method in methods for query in ("", "a=1")
    ]

    assert asyncio.run(compare(both_ways, cases)) == []


async def compare(both_ways: BothWays, cases: Iterable[Case]) -> list[str]:
    """Tell of each case that is answered otherwise what is."""
    found = []
    for case in dict.fromkeys(cases):
        stock = await both_ways.by_stock(case)
        if stock.status == 500 and case.may_crash:
            continue
        assert stock.status < 500, f"FastAPI's own handler fails: {case}\n{stock.body}"
        ours = await both_ways.by_ours(case)
        if told := list(differences(stock, ours)):
            found.append("\n".join([str(case), *told]))
    return found


@every_operation
def test_one_visit_honours_an_override_of_every_dependency(
    operation: Operation, app: FastAPI, both_ways: BothWays, stage: Stage
) -> None:
    case = Cases(operation, DOCUMENT, stage).good
    before = asyncio.run(both_ways.by_ours(case))

    ignored = asyncio.run(ignored_overrides(both_ways, case, dependencies_of(app, operation)))

    assert ignored == {}, f"{operation} was not refused by what replaces these dependencies"
    assert not list(differences(before, asyncio.run(both_ways.by_ours(case)))), "once for all"


def refuse() -> NoReturn:
    raise HTTPException(418)


async def ignored_overrides(
    both_ways: BothWays, case: Case, dependencies: list[Any]
) -> dict[Any, int]:
    """Return the dependencies that are used though something else stands in their place."""
    statuses = {
        one: (await both_ways.with_override(case, one, refuse)).status for one in dependencies
    }
    return {one: status for one, status in statuses.items() if status != 418}


def dependencies_of(app: FastAPI, operation: Operation) -> list[Any]:
    (context,) = (
        one
        for one in route_contexts(app)
        if str(one.path).rstrip("/") == operation.path and operation.method in (one.methods or ())
    )
    return list(dict.fromkeys(calls_of(context.dependant)))


def calls_of(dependant: Dependant) -> Iterator[Any]:
    for child in dependant.dependencies:
        yield child.call
        yield from calls_of(child)
