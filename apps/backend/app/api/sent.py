"""Input about a record that may be there, read in two steps: what is not valid in it is refused
once the record is at hand, unless it is the present value.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import ValidationError, WrapValidator

from app.api.wording import text_of
from app.schemas.base import REFUSED, SentSchema
from app.schemas.item import ItemUpdate
from app.schemas.user import UserUpdate

_OF_THE_WHOLE: Final = frozenset({"extra_forbidden", "missing"})


def _keep_sent(data: Any, handler: Callable[[Any], Any]) -> Any:
    """Raises ValidationError for what no record can make right."""
    refused: dict[str, str] = {}
    try:
        read: SentSchema = handler(data)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        if any(not one["loc"] or one["type"] in _OF_THE_WHOLE for one in errors):
            raise
        refused = {str(one["loc"][0]): text_of(one) for one in reversed(errors)}
        read = handler({**data, **dict.fromkeys(refused, REFUSED)})
    read.keep_sent(data, refused)
    return read


KEEP_SENT: Final = WrapValidator(_keep_sent)
SentUser = Annotated[UserUpdate, KEEP_SENT]
SentItem = Annotated[ItemUpdate, KEEP_SENT]
