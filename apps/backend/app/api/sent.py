from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import ValidationError, WrapValidator

from app.api.wording import text_of
from app.schemas.base import UpdateSchema

Schema = TypeVar("Schema", bound=UpdateSchema)


def _keep_sent(data: Any, read: Callable[[Any], UpdateSchema]) -> UpdateSchema:
    """Leave it to whoever knows the record whether what is not valid is its present value.

    Raises ValidationError for what no record can make right.
    """
    refused: dict[str, str] = {}
    try:
        sent = read(data)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        if any(not one["loc"] or one["type"] == "extra_forbidden" for one in errors):
            raise
        refused = {str(one["loc"][0]): text_of(one) for one in reversed(errors)}
        sent = read({name: value for name, value in data.items() if name not in refused})
    sent.keep_sent(data, refused)
    return sent


Sent = Annotated[Schema, WrapValidator(_keep_sent)]  # Stands around the schema of a body.
