from collections.abc import Callable, Container
from typing import Annotated, Any, Final, TypeVar

from pydantic import ValidationError, WrapValidator

from app.api.wording import text_of
from app.schemas.base import SentSchema, UpdateSchema

Schema = TypeVar("Schema", bound=SentSchema)

NOT_IN_BULK: Final = "This field cannot be changed in bulk."


def read_sent(
    data: Any, read: Callable[[Any], Schema], *, single: Container[str] = frozenset()
) -> Schema:
    """Read what can be read, and keep what is wrong with the rest: also with fields that only a
    `single` record takes. Raises ValidationError for no object.
    """
    refused: dict[str, str] = {}
    try:
        sent = read(data)
    except ValidationError as error:
        texts: dict[str, str] = {}
        for one in error.errors(include_url=False, include_input=False):
            if not one["loc"]:
                raise
            name = str(one["loc"][0])
            is_single = one["type"] == "extra_forbidden" and name in single
            texts.setdefault(name, NOT_IN_BULK if is_single else text_of(one))
        sent = read({name: value for name, value in data.items() if name not in texts})
        refused = {name.encode("utf-8", "replace").decode()[:100]: texts[name] for name in texts}
    sent.keep_sent(data, refused)
    return sent


Update = TypeVar("Update", bound=UpdateSchema)
Sent = Annotated[Update, WrapValidator(read_sent)]  # Stands around the schema of a body.
