"""From what an endpoint returns to the answer, as FastAPI does it, in the thread that it ran in."""

from collections.abc import Callable
from typing import Any

from fastapi import Response
from fastapi.datastructures import DefaultPlaceholder
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import ResponseValidationError
from fastapi.utils import is_body_allowed_for_status_code

from app.api.plan import JSON, Progress


def serializer_of(route: Any) -> Callable[[Any, Progress], Response]:
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

    def content_of(returned: Any) -> Any:
        if field is None:
            return jsonable_encoder(returned)
        value, errors = field.validate(returned, {}, loc=("response",))
        if errors:
            raise ResponseValidationError(errors=errors, body=returned)
        return (field.serialize_json if is_default else field.serialize)(value, **options)

    def answer(returned: Any, progress: Progress) -> Response:
        if isinstance(returned, Response):
            if returned.background is None:
                returned.background = progress.background
            return returned
        own = progress.response
        status = (own and own.status_code) or route.status_code
        arguments: dict[str, Any] = {} if status is None else {"status_code": status}
        content = content_of(returned)
        if field is not None and is_default:
            response = Response(content, media_type=JSON, **arguments)
        else:
            response = response_class(content, **arguments)
        response.background = progress.background
        if not is_body_allowed_for_status_code(response.status_code):
            response.body = b""
        if own is not None:
            response.raw_headers.extend(own.raw_headers)
        return response

    return answer
