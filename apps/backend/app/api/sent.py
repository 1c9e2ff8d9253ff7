from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import ValidationError, WrapValidator

from app.api.wording import text_of
from app.schemas.base import SentSchema, UpdateSchema

Schema = TypeVar("Schema", bound=SentSchema)


def read_valid(
    data: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Schema]
) -> tuple[Schema, dict[str, str]]:
    """Tell by field what is wrong, and read the rest. Raises ValidationError for no object."""
    try:
        return read(data), {}
    except ValidationError as error:
        texts: dict[str, str] = {}
        for one in error.errors(include_url=False, include_input=False):
            if not one["loc"]:
                raise
            texts.setdefault(str(one["loc"][0]), text_of(one))
        valid = {name: value for name, value in data.items() if name not in texts}
        told = {name.encode("utf-8", "replace").decode()[:100]: texts[name] for name in texts}
        return read(valid), told


def _keep_sent(data: Any, read: Callable[[Any], UpdateSchema]) -> UpdateSchema:
    sent, refused = read_valid(data, read)
    sent.keep_sent(data, refused)
    return sent


Update = TypeVar("Update", bound=UpdateSchema)
Sent = Annotated[Update, WrapValidator(_keep_sent)]  # Stands around the schema of a body.
