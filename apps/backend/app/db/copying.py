"""COPY: the rows of a select as PostgreSQL itself writes them, without an object for each."""

from typing import Any, Final, Protocol

from sqlalchemy import Engine, Select, event
from sqlalchemy.orm import Session

_COPY_TO: Final = "copy_to"  # The execution option of a select that is to be copied, and whereto.


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


def copy_csv(db: Session, *, statement: Select[Any], out: Writable) -> None:
    """Write the rows as CSV, without a heading.

    The session's own events do not see it: a statement must pass deleted rows by itself.
    """
    db.connection().execute(statement, execution_options={_COPY_TO: out})


def allow_copying(engine: Engine) -> None:
    event.listen(engine, "do_execute", _copy)


def _copy(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Tell whether this was all there was to do: a COPY takes no parameters, so they are put in
    where the driver would put them.
    """
    out: Writable | None = context.execution_options.get(_COPY_TO)
    if out is None:
        return False
    query: bytes = cursor.mogrify(statement, parameters)
    cursor.copy_expert(b"COPY (" + query + b") TO STDOUT WITH (FORMAT csv)", out)
    return True
