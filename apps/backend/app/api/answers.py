from fastapi import Request, Response

from app.db.base import Base
from app.schemas.base import Schema


def answer_deleted(request: Request, record: Base, schema: type[Schema]) -> Response:
    """Answer 204, or 200 with the record for `Prefer: return=representation` (RFC 7240)."""
    if not _prefers_representation(request):
        return Response(status_code=204)
    return Response(
        schema.model_validate(record).model_dump_json(),
        media_type="application/json",
        headers={"Preference-Applied": "return=representation"},
    )


def _prefers_representation(request: Request) -> bool:
    lines = ",".join(request.headers.getlist("prefer")).lower()
    preferences = (one.partition(";")[0].replace(" ", "") for one in lines.split(","))
    return any(one.replace('"', "") == "return=representation" for one in preferences)


def name_location(request: Request, response: Response, record_id: int) -> None:
    """Tell where the created record is (RFC 9110, section 10.2.2)."""
    response.headers["Location"] = f"{request.url.path.rstrip('/')}/{record_id}"
