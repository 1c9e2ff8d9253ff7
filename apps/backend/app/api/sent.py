from collections.abc import Callable, Container
from typing import Annotated, Any, TypeVar

from pydantic import ValidationError, WrapValidator

from app.api.suggestions import suggest
from app.api.wording import text_of
from app.schemas.base import SentSchema, UpdateSchema

Schema = TypeVar("Schema", bound=SentSchema)


def read_sent(data: Any, read: Callable[[Any], Schema], *, single: Container[str] = ()) -> Schema:
    """Read what can be read, and keep what is wrong with the rest, such as fields that only one
    record takes. Raises ValidationError for no object.
    """
    refused: dict[str, str] = {}
    try:
        sent = read(data)
    except ValidationError as error:
        texts: dict[str, str] = {}
        for one in error.errors(include_url=False, include_input=False):
            if not one["loc"]:
                raise
            name, text = str(one["loc"][0]), text_of(one)
            if one["type"] == "extra_forbidden" and name in single:
                text = "This field cannot be changed in bulk."
            texts.setdefault(name, text)
        sent = read({name: value for name, value in data.items() if name not in texts})
        if isinstance(sent, UpdateSchema):  # No row of a file: there may be many.
            fields = type(sent).model_fields
            unknown = [name for name in texts if name not in fields and name not in single]
            texts |= suggest("Unknown field.", unknown, fields)
        refused = {name.encode("utf-8", "replace").decode()[:100]: texts[name] for name in texts}
    sent.keep_sent(data, refused)
    return sent


Update = TypeVar("Update", bound=UpdateSchema)
Sent = Annotated[Update, WrapValidator(read_sent)]  # Stands around the schema of a body.
