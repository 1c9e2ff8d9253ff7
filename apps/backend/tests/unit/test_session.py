"""One engine for all threads, and sessions for reading that cannot write."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, text, update
from sqlalchemy.orm import Session

from app.db.session import dispose, get_engine, read_only, unit_of_work
from app.models import User
from tests.factories import make_user

THREADS = 8


def test_get_engine_makes_one_for_all_threads() -> None:
    dispose()
    barrier = Barrier(THREADS)

    def get_at_once() -> Engine:
        barrier.wait()
        return get_engine()

    with ThreadPoolExecutor(THREADS) as threads:
        engines = [future.result() for future in [threads.submit(get_at_once) for _ in range(8)]]

    assert len({id(engine) for engine in engines}) == 1


def test_read_only_refuses_to_flush(db: Session) -> None:
    user = make_user(db)

    with read_only() as reading:
        reading.get_one(User, user.id).full_name = "Ann"
        with pytest.raises(RuntimeError, match="unit_of_work"):
            reading.flush()


def test_read_only_refuses_to_update() -> None:
    with pytest.raises(RuntimeError, match="unit_of_work"), read_only() as reading:
        reading.execute(update(User).values(full_name="Ann"))


def test_session_once_closed_stays_closed() -> None:
    with unit_of_work() as db:
        pass

    with pytest.raises(Exception, match="closed"):
        db.execute(text("SELECT 1"))
