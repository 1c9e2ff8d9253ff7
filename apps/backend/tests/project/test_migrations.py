"""Migrations lead up and down, on a database of their own of the kind that the tests run on."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, make_url, select, text
from sqlalchemy.orm import Session

from app.db import migrations
from app.db.session import get_engine
from app.models import Base, Item, User
from tests.conftest import POSTGRESQL, WORKER, new_postgresql_database
from tests.factories import make_item, make_user
from tests.project.markdown import BACKEND
from tests.project.tools import require_ruff
from tests.settings import changed_settings

STARTS: Final = 4

REBUILD: Final = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "rebuild", "{head}"


def upgrade():
    with op.batch_alter_table("users") as batch:
        batch.alter_column("full_name", type_=sa.String(120))
"""


@pytest.fixture
def own_database(tmp_path: Path) -> Iterator[None]:
    """An empty database, which the application in this process is pointed at."""
    url = f"sqlite:///{tmp_path}/own.db"
    if POSTGRESQL is not None:
        url = new_postgresql_database(f"backdesk_migrations_{WORKER}")
    with changed_settings(DATABASE_URL=url):
        yield


def test_migrations_have_one_head() -> None:
    scripts = ScriptDirectory.from_config(migrations.alembic_config())

    assert len(scripts.get_heads()) == 1


def test_migrations_lead_up_down_and_up_again(own_database: None) -> None:
    migrations.migrate()
    assert tables() == {*Base.metadata.tables, "alembic_version"}

    migrations.migrate("base")
    assert tables() == {"alembic_version"}

    migrations.migrate()
    assert migrations.is_usable()


def test_migrations_make_what_the_models_say(own_database: None) -> None:
    migrations.migrate()

    command.check(migrations.alembic_config())  # Raises where a migration is due.


@pytest.mark.skipif(POSTGRESQL is not None, reason="PostgreSQL's sequences only go forward")
def test_migrations_leave_ids_that_are_never_given_again(own_database: None) -> None:
    """A migration that has SQLite make a table anew says `sqlite_autoincrement` once more."""
    migrations.migrate()
    statement = text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")
    with get_engine().connect() as connection:
        found = set(connection.scalars(statement))

    declared = {
        table.name
        for table in Base.metadata.tables.values()
        if table.dialect_options["sqlite"]["autoincrement"]
    }
    assert found == declared


def test_migration_rebuilds_a_table_that_others_refer_to(
    own_database: None, tmp_path: Path
) -> None:
    """On SQLite a changed table is copied, and the old one dropped while items refer to it."""
    migrations.migrate()
    with Session(get_engine(), expire_on_commit=False) as db:
        item = make_item(db, owner=make_user(db))
    config = migrations_and(tmp_path, REBUILD.format(head=migrations.head_revision()))

    command.upgrade(config, "head")

    with Session(get_engine()) as db:
        assert db.scalars(select(User.id).join(Item)).all() == [item.owner_id]


def migrations_and(folder: Path, revision: str) -> Config:
    """Copy the migrations, and put one more on top of them."""
    shutil.copytree(BACKEND / "alembic", folder / "alembic")
    shutil.copy(BACKEND / "alembic.ini", folder)
    (folder / "alembic" / "versions" / "rebuild.py").write_text(revision)
    return Config(folder / "alembic.ini")


@pytest.mark.postgresql
def test_migrations_do_without_a_module_that_is_not_permitted() -> None:
    name = f"backdesk_plain_{WORKER}"
    url = make_url(new_postgresql_database(name))
    with create_engine(url, isolation_level="AUTOCOMMIT").connect() as server:
        server.execute(text(f"DROP ROLE IF EXISTS {name}"))
        server.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'plain'"))
        server.execute(text(f"GRANT ALL ON SCHEMA public TO {name}"))
    plain = url.set(username=name, password="plain").render_as_string(hide_password=False)

    with changed_settings(DATABASE_URL=plain):
        migrations.migrate()
        command.check(migrations.alembic_config())
        names = {one["name"] for one in inspect(get_engine()).get_indexes("items")}

    assert "ix_items_title_id" in names
    assert "ix_items_search" not in names


def test_migrations_started_at_once_all_succeed(own_database: None) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "app.cli", "migrate"],
            cwd=BACKEND,
            env=os.environ.copy(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(STARTS)
    ]
    said = [process.communicate(timeout=60)[0] for process in started]

    assert [process.returncode for process in started] == [0] * STARTS, said
    assert migrations.is_usable()


def test_revision_passes_the_linters_as_it_comes(own_database: None, tmp_path: Path) -> None:
    require_ruff()
    folder = tmp_path / "backend"
    (folder / "alembic" / "versions").mkdir(parents=True)
    for name in ("pyproject.toml", "alembic.ini", "alembic/env.py", "alembic/script.py.mako"):
        shutil.copy(BACKEND / name, folder / name)

    # Without migrations, the difference is every table there is.
    command.revision(Config(folder / "alembic.ini"), message="every table", autogenerate=True)

    (revision,) = (folder / "alembic" / "versions").glob("*_every_table.py")
    assert '"users"' in revision.read_text()
    for arguments in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *arguments, "--no-cache", str(revision)]
        run = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr


def tables() -> set[str]:
    return set(inspect(get_engine()).get_table_names())


# --- Folded texts

BEFORE_FOLDING: Final = "55434e2b9efa"
AS_FOLDED: Final = {
    "Straße": "strasse",
    "ΣΊΣΥΦΟΣ": "σίσυφοσ",
    "Cafe\u0301": "café",
    "  Field \x01 \u2028Sales\u200b ": "field \x01 sales",
    "\ufdfa" * 100: ("صلى الله عليه وسلم" * 100)[:350],
    "": "",
    None: None,
}


def test_migration_folds_the_rows_that_are_there(own_database: None) -> None:
    migrations.migrate(BEFORE_FOLDING)
    names = list(AS_FOLDED)
    many = [names[number % len(names)] for number in range(2100)]
    values = "email, username, full_name, department, role, is_active, is_verified, version"
    rows = [{"number": str(number), "name": name} for number, name in enumerate(many)]
    with get_engine().begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO users ({values}, created_at, updated_at)"  # noqa: S608  Our own.
                " VALUES (:number || '@example.com', 'u' || :number, :name, :name, 'user', true,"
                " true, 1, '2026-01-01', '2026-01-01')"
            ),
            rows,
        )

    migrations.migrate()
    with get_engine().connect() as connection:
        folded = connection.execute(
            text("SELECT full_name, full_name_folded, department_folded FROM users ORDER BY id")
        ).all()
    migrations.migrate(BEFORE_FOLDING)
    with get_engine().connect() as connection:
        kept = list(connection.scalars(text("SELECT department FROM users ORDER BY id")))

    assert [tuple(row) for row in folded] == [
        (name, AS_FOLDED[name], AS_FOLDED[name]) for name in many
    ]
    assert kept == many
    migrations.migrate()


@pytest.mark.parametrize("revision", ["7a9a2e56da01", "head"])
def test_migrations_make_the_same_schema_whatever_the_seed_of_hashes(
    own_database: None, tmp_path: Path, revision: str
) -> None:
    """The first copies a table of SQLite, with its indexes."""
    schemas = [schema_made_under(str(seed), revision, tmp_path) for seed in range(3)]

    assert len(schemas[0]) > len(Base.metadata.tables)
    assert schemas[1:] == [schemas[0]] * 2


def schema_made_under(seed: str, revision: str, folder: Path) -> list[tuple[str, ...]]:
    """Return what there is, in the order in which it was made."""
    url = f"sqlite:///{folder}/{seed}.db"
    made = "SELECT type, name, sql FROM sqlite_master ORDER BY rowid"
    if POSTGRESQL is not None:
        url = new_postgresql_database(f"backdesk_seed_{WORKER}")
        made = """
            SELECT attrelid::regclass::text, attname::text, format_type(atttypid, atttypmod)
            FROM pg_attribute WHERE attrelid IN (
                SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
            ) AND attnum > 0 ORDER BY attrelid, attnum"""
    run = subprocess.run(
        [sys.executable, "-m", "app.cli", "migrate", "--to", revision],
        cwd=BACKEND,
        env=os.environ | {"PYTHONHASHSEED": seed, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(made))]
    engine.dispose()
    return rows
