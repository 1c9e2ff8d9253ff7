from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from pydantic import ValidationError, WrapValidator

from app.api.wording import text_of
from app.schemas.base import REFUSED, SentSchema

_OF_THE_WHOLE: Final = frozenset({"extra_forbidden", "missing"})


def _keep_sent(data: Any, read: Callable[[Any], Any]) -> Any:
    """Leave it to whoever knows the record whether what is not valid is its present value.

    Raises ValidationError for what no record can make right.
    """
    refused: dict[str, str] = {}
    try:
        sent: SentSchema = read(data)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        if any(not one["loc"] or one["type"] in _OF_THE_WHOLE for one in errors):
            raise
        refused = {str(one["loc"][0]): text_of(one) for one in reversed(errors)}
        sent = read({**data, **dict.fromkeys(refused, REFUSED)})
    sent.keep_sent(data, refused)
    return sent


Schema = TypeVar("Schema", bound=SentSchema)
Sent = Annotated[Schema, WrapValidator(_keep_sent)]  # Stands around the schema of a body.
