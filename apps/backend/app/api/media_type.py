import json
from email.message import Message

from fastapi import HTTPException, Request

from app.core.errors import DomainError

JSON = "application/json"
UPLOAD = "multipart/form-data"
FORMS = {"application/x-www-form-urlencoded", UPLOAD}


class UnsupportedMediaTypeError(DomainError):
    code = "UNSUPPORTED_MEDIA_TYPE"
    text = "Send the body with the header Content-Type: {wanted}."


async def refuse_other_media_type(request: Request, *, is_form: bool) -> None:
    """Read the body, and refuse one that does not say it is what the route reads, or JSON that is
    not UTF-8 (RFC 8259, section 8.1).

    Raises UnsupportedMediaTypeError, HTTPException.
    """
    content_type = request.headers.get("content-type", "")
    body = await request.body()
    if body and not _fits(content_type, is_form=is_form):
        wanted = "application/x-www-form-urlencoded" if is_form else JSON
        raise UnsupportedMediaTypeError(wanted=wanted)
    if not is_form and not json.detect_encoding(body).startswith("utf-8"):
        raise HTTPException(400)  # Python's own reader would take UTF-16 as well.


def refuse_no_upload(request: Request) -> None:
    """Raises UnsupportedMediaTypeError."""
    if _media_type(request.headers.get("content-type", "")).get_content_type() != UPLOAD:
        raise UnsupportedMediaTypeError(wanted=UPLOAD)


def _fits(content_type: str, *, is_form: bool) -> bool:
    if is_form:
        return _media_type(content_type).get_content_type() in FORMS
    return is_json(content_type)


def is_json(content_type: str) -> bool:
    """Tell also of what is built on it, such as `application/merge-patch+json`."""
    if content_type == JSON:
        return True
    message = _media_type(content_type)
    subtype = message.get_content_subtype()
    is_application = message.get_content_maintype() == "application"
    return is_application and (subtype == "json" or subtype.endswith("+json"))


def _media_type(content_type: str) -> Message:
    message = Message()
    message["content-type"] = content_type
    return message
