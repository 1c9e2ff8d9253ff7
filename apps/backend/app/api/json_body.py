from email.message import Message

from fastapi import Request

from app.core.errors import DomainError


class UnsupportedMediaTypeError(DomainError):
    code = "UNSUPPORTED_MEDIA_TYPE"
    text = "Send the body as JSON, with the header Content-Type: application/json."


async def refuse_other_media_type(request: Request) -> None:
    """Read the body, and refuse one that does not say it is JSON.

    Raises UnsupportedMediaTypeError.
    """
    content_type = request.headers.get("content-type", "")
    if content_type == "application/json":
        await request.body()
    elif await request.body() and not _is_json(content_type):
        raise UnsupportedMediaTypeError


def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    is_application = message.get_content_maintype() == "application"
    return is_application and (subtype == "json" or subtype.endswith("+json"))
