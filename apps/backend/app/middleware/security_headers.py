"""What every answer tells the browser to keep to."""

from collections.abc import Sequence
from typing import Final

Headers = Sequence[tuple[bytes, bytes]]

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-xss-protection", b"0"),  # The old filter that it once switched on was itself a hole.
)
_CSP: Final = (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'")
# Swagger UI starts from an inline script and styles itself.
_DOCS_CSP: Final = (
    b"content-security-policy",
    (
        b"default-src 'self'; script-src 'self' 'unsafe-inline'; "
        b"style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    ),
)
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
UNCACHED: Final = (b"cache-control", b"private, no-cache")  # Unless the answer says otherwise.


def security_headers(*, is_docs: bool, is_https: bool) -> Headers:
    policy = _DOCS_CSP if is_docs else _CSP
    return (*_ALWAYS, policy, _HSTS) if is_https else (*_ALWAYS, policy)
