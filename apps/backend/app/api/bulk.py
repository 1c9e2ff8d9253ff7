"""Many records in one request: the routes that change, delete and restore them, and which they are.

All or nothing: a refusal names each row that it is for.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from types import GenericAlias
from typing import Annotated, Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import WrapValidator, create_model

from app.api.deps import CurrentUser, DbSession, requires
from app.api.dry_run import rehearsable
from app.api.idempotency import idempotent
from app.api.listing import ListParameters
from app.api.problems import problems
from app.api.routing import Router
from app.api.sent import read_sent
from app.core.clock import utc_now
from app.core.permissions import Permission
from app.core.text import fold
from app.crud import chosen as crud_chosen
from app.crud.chosen import Resource
from app.crud.listing import Record
from app.schemas.base import MAX_BULK, MAX_SAFE_INTEGER, Schema, UpdateSchema
from app.schemas.bulk import BulkChoice, BulkUpdate, Choice, TooManyRowsError
from app.schemas.listing import COMPARISONS, Filter, ListQuery

_NEGATIONS: Final = frozenset({"ne", "outside"})


def add_bulk_routes(
    router: Router,
    resource: Resource[Any],
    *,
    public: type[Schema],
    changes: type[UpdateSchema],
    single: type[UpdateSchema],
    permission: Permission,
) -> None:
    """Mount them, with a body for `changes` named after the model. One record takes `single`."""
    listed, names = ListParameters(public), router.prefix.strip("/")
    read_changes = partial(read_sent, single=single.model_fields)
    changes_as_sent: Any = Annotated[changes, WrapValidator(read_changes)]
    body_schema = create_model(
        f"{resource.listing.model.__name__}BulkUpdate", __base__=BulkUpdate, changes=changes_as_sent
    )
    of_all: Any = {"response_model": GenericAlias(list, public), "responses": problems(404, 409)}
    is_written = [requires(permission), rehearsable]

    def update_records(db: DbSession, actor: CurrentUser, body: BulkUpdate) -> Sequence[Record]:
        choice, changes = read_choice(body, listed), body.changes
        return crud_chosen.update_records(db, resource, choice=choice, changes=changes, actor=actor)

    update_records.__annotations__["body"] = body_schema  # FastAPI reads it from here.
    router.patch(
        "/bulk",
        name=f"update_{names}",
        dependencies=is_written,
        description=f"Change up to 1000 {names} alike, or none of them, "
        "by the rules that hold for one.",
        **of_all,
    )(update_records)

    @router.post(
        "/bulk/delete",
        name=f"delete_{names}",
        dependencies=[*is_written, idempotent],
        description=f"Delete up to 1000 {names} softly, or none of them, "
        "and return them as they were left.",
        **of_all,
    )
    def delete_records(db: DbSession, actor: CurrentUser, body: BulkChoice) -> Sequence[Record]:
        choice = read_choice(body, listed)
        return crud_chosen.delete_records(db, resource, choice=choice, actor=actor)

    @router.post(
        "/bulk/restore",
        name=f"restore_{names}",
        dependencies=[*is_written, idempotent],
        description=f"Bring up to 1000 deleted {names} back, or none of them. "
        "A filter finds them in the trash.",
        **of_all,
    )
    def restore_records(db: DbSession, actor: CurrentUser, body: BulkChoice) -> Sequence[Record]:
        choice = read_choice(body, listed)
        return crud_chosen.restore_records(db, resource, choice=choice, actor=actor)


def read_choice(body: BulkChoice, parameters: ListParameters) -> Choice:
    """Raises RequestValidationError, naming `ids.3` or `filter.status`."""
    if body.ids is not None:
        _refuse_twice(body.ids)
        return Choice(ids=body.ids)
    return Choice(query=_read_filter(body.filter or {}, parameters))


def _refuse_twice(ids: list[int]) -> None:
    first = {one: index for index, one in reversed(list(enumerate(ids)))}
    again = [index for index, one in enumerate(ids) if first[one] != index]
    if again:
        raise RequestValidationError(
            [_error("This id stands here twice.", "ids", index) for index in again]
        )


def _read_filter(wanted: dict[str, Any], parameters: ListParameters) -> ListQuery:
    """Each filter has to be one that can leave something out: an input left blank in a panel must
    not choose everything.
    """
    count = sum(len(one) if isinstance(one, list) else 1 for one in wanted.values())
    if count > MAX_BULK:
        raise TooManyRowsError(count=count, field="filter")
    try:
        query = parameters.read_filter(wanted)
    except RequestValidationError as error:
        raise RequestValidationError([_below_filter(one) for one in error.errors()]) from None
    if not wanted:
        raise _refusal("This field cannot be empty: it would choose every record.", "filter")
    for name, value in wanted.items():
        if _is_blank(name, value):
            raise _refusal("Must not be blank.", "filter", name)
    for one in query.filters:
        leaves_nulls_out = parameters.is_nullable(one.field) and one.operator not in _NEGATIONS
        if not leaves_nulls_out and _lets_all_pass(one):
            suffix = {"eq": "", "within": "", "outside": "_ne"}.get(
                one.operator, f"_{one.operator}"
            )
            raise _refusal("This would match every record.", "filter", one.field + suffix)
    return query


def _is_blank(name: str, value: Any) -> bool:
    """No text, no choice, no value to leave out. Only an empty list of ids chooses no record."""
    values = value if isinstance(value, list) else [value]
    return any(
        not fold(one) if isinstance(one, str) else one is None and name.endswith("_ne")
        for one in values
    ) or (not values and name != "id")


def _lets_all_pass(one: Filter) -> bool:
    """Whatever the records are: every choice is listed, or the bound is beyond what there can be.
    Ids and versions begin with 1; nothing was made before 1970, or will have been tomorrow; texts
    lie between the first and the last visible character.
    """
    kind: Any = type(next(iter(one.values), None))
    if one.operator == "eq":
        choices = {True, False} if kind is bool else set(kind) if issubclass(kind, Enum) else {None}
        return choices <= set(one.values)
    bounds: dict[Any, Any] = {
        int: (1, MAX_SAFE_INTEGER - 1),
        str: ("!", "\U0010fffd"),
        datetime: (datetime(1970, 1, 1, tzinfo=UTC), utc_now()),
    }
    if kind not in bounds:
        return False
    least, most = bounds[kind]
    if one.operator in _NEGATIONS:
        return all(value < least or value > most for value in one.values)
    passes: Callable[[Any, Any], bool] = COMPARISONS.get(one.operator, lambda *_: False)
    return all(any(passes(end, value) for value in one.values) for end in (least, most))


def _below_filter(error: dict[str, Any]) -> dict[str, Any]:
    place = () if error["loc"][1:] == ("filter",) else error["loc"][1:]
    return error | {"loc": ("body", "filter", *place)}


def _refusal(text: str, *place: str) -> RequestValidationError:
    return RequestValidationError([_error(text, *place)])


def _error(text: str, *place: str | int) -> dict[str, Any]:
    return {"type": "value", "loc": ("body", *place), "msg": text}
