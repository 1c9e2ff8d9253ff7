"""From what an endpoint returns to the answer, as FastAPI does it, in the thread that it ran in."""

from collections.abc import Callable
from typing import Any

from fastapi import Response
from fastapi.datastructures import DefaultPlaceholder
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import ResponseValidationError
from fastapi.utils import is_body_allowed_for_status_code

from app.api.media_type import JSON
from app.api.plan import Progress


def serializer_of(route: Any) -> Callable[[Any, Progress], Response]:
    render = _renderer_of(route)

    def answer(returned: Any, progress: Progress) -> Response:
        if isinstance(returned, Response):
            if returned.background is None:
                returned.background = progress.background
            return returned
        own = progress.response
        status = (own and own.status_code) or route.status_code
        response = render(returned, {} if status is None else {"status_code": status})
        response.background = progress.background
        if not is_body_allowed_for_status_code(response.status_code):
            response.body = b""
        if own is not None:
            response.raw_headers.extend(own.raw_headers)
        return response

    return answer


def _renderer_of(route: Any) -> Callable[[Any, dict[str, Any]], Response]:
    """Return what makes a response of a value that fits the model, and the response's arguments."""
    field = route.response_field
    is_default = isinstance(route.response_class, DefaultPlaceholder)
    response_class = route.response_class.value if is_default else route.response_class
    options = {
        "include": route.response_model_include,
        "exclude": route.response_model_exclude,
        "by_alias": route.response_model_by_alias,
        "exclude_unset": route.response_model_exclude_unset,
        "exclude_defaults": route.response_model_exclude_defaults,
        "exclude_none": route.response_model_exclude_none,
    }

    def render(returned: Any, arguments: dict[str, Any]) -> Any:
        if field is None:
            return response_class(jsonable_encoder(returned), **arguments)
        value, errors = field.validate(returned, {}, loc=("response",))
        if errors:
            raise ResponseValidationError(errors=errors, body=returned)
        if is_default:
            return Response(field.serialize_json(value, **options), media_type=JSON, **arguments)
        return response_class(field.serialize(value, **options), **arguments)

    return render
