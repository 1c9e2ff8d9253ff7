import codecs
from collections.abc import Collection
from email.message import Message
from urllib.parse import unquote_to_bytes

from fastapi import HTTPException, Request

from app.core.errors import DomainError
from app.core.text import is_utf8

JSON = "application/json"
UPLOAD = "multipart/form-data"
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
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
    if body and not (_is_form(content_type, FORMS) if is_form else is_json(content_type)):
        wanted = "application/x-www-form-urlencoded" if is_form else JSON
        raise UnsupportedMediaTypeError(wanted=wanted)
    # Python's own readers would take JSON in UTF-16, and any byte in a form.
    if not is_form:
        is_readable = 0 not in body[:2] and not body.startswith(_MARKS)
    else:
        is_readable = is_utf8(body if UPLOAD in content_type else unquote_to_bytes(body))
    if not is_readable:
        raise HTTPException(400)


def refuse_no_upload(request: Request) -> None:
    """Raises UnsupportedMediaTypeError."""
    if not _is_form(request.headers.get("content-type", ""), {UPLOAD}):
        raise UnsupportedMediaTypeError(wanted=UPLOAD)


def _is_form(content_type: str, kinds: Collection[str]) -> bool:
    """A form is in UTF-8, whatever else it says of itself."""
    message = _media_type(content_type)
    return message.get_content_type() in kinds and message.get_content_charset("utf-8") == "utf-8"


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
