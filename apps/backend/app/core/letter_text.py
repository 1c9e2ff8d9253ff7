"""What letters say. Each is written once, in `templates/`, and comes out as text and as HTML."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.core.clock import utc_now
from app.core.config import get_settings

TEMPLATES: Final = Path(__file__).resolve().parents[1] / "templates"


_AS_HTML: Final = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_AS_TEXT: Final = _AS_HTML.overlay(autoescape=False)


def write_text(
    template: str,
    *,
    parameters: dict[str, Any],
    written_at: datetime,
    token: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[str, str, str]:
    """Return subject, text and HTML. Raises jinja2.TemplateError where there is no such letter, or
    a parameter is missing.

    The link's token stands in the fragment, which browsers send to nobody.
    """
    settings = get_settings()
    values = {name: _one_line(value) for name, value in parameters.items()} | {
        "project": settings.PROJECT_NAME,
        "account_url": settings.account_url,
        "panel_url": settings.panel_url,
        "has_panel": settings.PANEL_URL is not None,
        "written_at": _in_words(written_at),
        "token": token,
        "expires_at": expires_at and _in_words(expires_at),
        "time_left": expires_at and _span_in_words(expires_at - utc_now()),
    }
    name = f"{template}.jinja"
    as_text = _AS_TEXT.get_template(name)
    values_of_text = values | {"layout": "layout.txt"}
    subject = as_text.blocks["subject"](as_text.new_context(values_of_text))
    return (
        _one_line("".join(subject)),
        re.sub(r"\n{3,}", "\n\n", as_text.render(values_of_text)),
        _AS_HTML.get_template(name).render(values | {"layout": "layout.html"}),
    )


def _one_line(value: Any) -> Any:
    """A name must not go on as a paragraph of its own."""
    return " ".join(value.split()) if isinstance(value, str) else value


def _in_words(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _span_in_words(span: timedelta) -> str:
    minutes = round(span / timedelta(minutes=1))
    if minutes < 120:
        return f"{minutes} minutes"
    hours = round(minutes / 60)
    return f"{hours} hours" if hours <= 48 else f"{round(hours / 24)} days"
