"""User names that nobody has: what is wanted, or the same with a number, which at last is drawn by
lot.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, count
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.crud.batch import VALUES_AT_ONCE, in_batches
from app.models.user import User

NUMBERED_RUNS: Final = 3  # Then numbers are drawn, so that many names come to an end soon.


def numbered(wanted: str) -> Iterator[str]:
    return chain([wanted], (f"{wanted[:44]}{number}" for number in range(2, 100)))


def drawn(wanted: str) -> Iterator[str]:
    return (f"{wanted[:44]}{secrets.randbelow(10**6)}" for _ in count())


def get_taken(db: Session, column: InstrumentedAttribute[str], *, names: Iterable[str]) -> set[str]:
    batches = in_batches(list(names), size=VALUES_AT_ONCE)
    statements = (select(column).where(column.in_(batch)) for batch in batches)
    return {name for statement in statements for name in db.scalars(statement)}


def free_usernames(
    db: Session, *, wanted: Mapping[int, str], unwanted: Mapping[int, str], reserved: set[str]
) -> dict[int, str]:
    """Find a free name for each key, in a few statements: none that is in `reserved`, or `unwanted`
    for this key.
    """
    found: dict[int, str] = {}
    known = set(reserved)
    for run in count():
        missing = [key for key in wanted if key not in found]
        if not missing:
            break
        proposed = {}
        for key in missing:
            names = chain(numbered(wanted[key]) if run < NUMBERED_RUNS else (), drawn(wanted[key]))
            proposed[key] = next(n for n in names if n not in known and n != unwanted.get(key))
            known.add(proposed[key])
        taken = get_taken(db, User.username, names=proposed.values())
        found |= {key: name for key, name in proposed.items() if name not in taken}
    return found
