"""What an answer tells beside the record: a page's place, where a new record is, preferences."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from fastapi import Request, Response

from app.api.dialects import PAGING
from app.crud.listing import Page, Record
from app.db.base import Base
from app.schemas.base import Schema
from app.schemas.listing import ListQuery

# Up to four links repeat the query, and proxies refuse headers of more than a few kilobytes: of a
# longer query only `next` is linked.
LONGEST_REPEATED_QUERY: Final = 500

PAGE_HEADERS: Final = {
    "X-Total-Count": ("integer", "How many records all pages have; absent with `after`."),
    "X-Total-Count-Estimated": ("boolean", "`true` of an estimate; absent where it is exact."),
    "Content-Range": ("string", "Which these are: `users 0-24/319`; absent with `after`."),
    "Link": ("string", "The first, previous, next and last page (RFC 8288)."),
    "X-Next-Cursor": ("string", "The `after` of the next page, where the sort has cursors."),
}


def answer_page(
    page: Page, *, query: ListQuery, unit: str, request: Request, response: Response
) -> Sequence[Record]:
    """Put the page's place into the headers, and return its records."""
    links = {}
    if page.next_cursor is not None:
        response.headers["X-Next-Cursor"] = page.next_cursor
        links["next"] = f"{urlencode({'after': page.next_cursor})}&limit={query.limit}"
    if page.total is not None:
        count = len(page.records)
        place = f"{query.skip}-{query.skip + count - 1}" if count else "*"
        response.headers["X-Total-Count"] = str(page.total.count)
        response.headers["Content-Range"] = f"{unit} {place}/{page.total.count}"
        if page.total.is_estimated:
            response.headers["X-Total-Count-Estimated"] = "true"
        links = _offset_links(query, page.total.count)
    if len(request.scope["query_string"]) > LONGEST_REPEATED_QUERY:
        links = {name: place for name, place in links.items() if name == "next"}
    if links:
        page_url = _repeated(request)
        response.headers["Link"] = ", ".join(
            f'<{page_url}{place}>; rel="{name}"' for name, place in links.items()
        )
    return page.records


def _offset_links(query: ListQuery, total: int) -> dict[str, str]:
    skips = {"first": 0, "last": max(total - 1, 0) // query.limit * query.limit}
    if query.skip > 0 and total > 0:  # Past the end, the page before is the last that has rows.
        skips["prev"] = min(max(query.skip - query.limit, 0), skips["last"])
    if query.skip + query.limit < total:
        skips["next"] = query.skip + query.limit
    return {name: f"skip={skip}&limit={query.limit}" for name, skip in skips.items()}


def _repeated(request: Request) -> str:
    """Return the URL with all that does not say which page is meant."""
    asked = request.query_params.multi_items()
    kept = urlencode([(name, value) for name, value in asked if name not in PAGING])
    return f"{request.url.path}?{kept}{'&' if kept else ''}"


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
