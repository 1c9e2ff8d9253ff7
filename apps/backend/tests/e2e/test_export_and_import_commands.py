"""`export` and `import`, as an operator types them, on the database of the tests."""

import csv
import io
import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from python_calamine import load_workbook
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.cli.__main__ import main
from app.core.permissions import Role
from app.models import AuditEvent, Item, OutgoingEmail, User
from tests.command import Outcome, Run
from tests.factories import make_item, make_user
from tests.terminal import written_to_terminal

USERS_FILE = "email,full_name,is_active\nann@example.com,Ann,true\nbob@example.com,Bob,true\n"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], db: Session) -> Run:
    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["backdesk", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        db.expire_all()
        written = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), written.out, written.err)

    return run


def saved(folder: Path, text: str, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def rows_of(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(text)))


# --- Export


def test_export_is_the_file_that_the_api_answers(
    run: Run, db: Session, client_of: Callable[[User], TestClient]
) -> None:
    admin = make_user(db, role=Role.ADMIN, department="Sales")
    make_item(db, owner=admin, title="=1+1")
    client = client_of(admin)

    for name in ("users", "items", "usage"):
        for file_format in ("csv", "jsonl"):
            written = run("export", name, "--format", file_format)
            answer = client.get(f"/api/v1/{name}/export", params={"format": file_format})
            assert (written.returncode, written.stderr) == (0, "")
            assert written.stdout == answer.text


def test_export_takes_the_filters_of_the_list(run: Run, db: Session) -> None:
    make_user(db, email="ann@example.com", role=Role.MANAGER)
    make_user(db, email="bob@example.com", role=Role.MANAGER)
    make_user(db, email="eve@example.com")

    filters = ("--filter", "role=manager", "--filter", "sort=-email")
    written = run("export", "users", *filters, "--columns", "importable", "--bom")

    assert written.stdout.startswith("\ufeffemail,")
    emails = [row["email"] for row in rows_of(written.stdout.removeprefix("\ufeff"))]
    assert emails == ["bob@example.com", "ann@example.com"]


def test_export_stands_in_the_audit_without_an_actor(run: Run, db: Session) -> None:
    run("export", "items", "--format", "jsonl", "--filter", "q=lamp")
    written = run("export", "audit", "--format", "jsonl")

    (event,) = (json.loads(line) for line in written.stdout.splitlines()[:1])
    assert (event["action"], event["resource_type"]) == ("export", "item")
    assert (event["actor_id"], event["changes"]["q"]) == (None, [None, "lamp"])


def test_export_into_a_file_is_for_its_owner_and_whole(
    run: Run, db: Session, tmp_path: Path
) -> None:
    make_item(db, owner=make_user(db), title="Lamp")
    old = saved(tmp_path, "old", "items.xlsx")
    old.chmod(0o644)

    written = run("export", "items", "--format", "xlsx", "--output", old)

    assert (written.returncode, written.stdout) == (0, "")
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    assert load_workbook(old).get_sheet_by_index(0).to_python()[1][1] == "Lamp"
    assert [one.name for one in tmp_path.iterdir()] == ["items.xlsx"]


def test_export_that_fails_leaves_the_file_as_it_was(
    run: Run, db: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_item(db, owner=make_user(db), title="Lamp", description="x" * 40_000)
    old = saved(tmp_path, "old", "items.xlsx")

    written = run("export", "items", "--format", "xlsx", "--output", old)

    assert written.returncode == 1
    assert written.stderr.startswith("Error: ")
    assert old.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["items.xlsx"]


def test_export_names_a_place_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    written = run("export", "items", "--output", tmp_path / "none" / "items.csv")

    assert written.returncode == 1
    assert written.stderr.startswith(f"Error: cannot write {tmp_path}/none/items.csv: ")


def test_export_to_a_device_leaves_it_in_place(run: Run) -> None:
    assert run("export", "items", "--output", "/dev/null").returncode == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["letters"], "audit, items, usage, users"),
        (["users", "--filter", "colour=red"], "colour"),
        (["users", "--filter", "role"], "role"),
        (["users", "--filter", "limit=5"], "limit"),
        (["users", "--columns", "some"], "columns"),
        (["usage", "--columns", "importable"], "columns"),
        (["users", "--format", "jsonl", "--bom"], "bom"),
        (["users", "--format", "pdf"], "pdf"),
    ],
)
def test_export_refuses_a_wrong_command_with_a_code_of_its_own(
    run: Run, arguments: list[str], told: str
) -> None:
    refused = run("export", *arguments)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert told in refused.stderr


# --- Import


def test_import_creates_updates_and_skips(run: Run, db: Session, tmp_path: Path) -> None:
    ann = make_user(db, email="ann@example.com", full_name="Old")
    file = saved(tmp_path, USERS_FILE)

    refused = run("import", "users", file)
    updated = run("import", "users", file, "--on-conflict", "update")
    skipped = run("import", "users", file, "--on-conflict", "skip")

    assert refused.returncode == 1
    assert refused.stderr.startswith("Line 2, email: This e-mail is already registered.\nError: ")
    assert updated.stdout == "Created 1, updated 1, skipped 0.\n"
    assert skipped.stdout == "Created 0, updated 0, skipped 2.\n"
    assert db.get_one(User, ann.id).full_name == "Ann"
    assert [one.recipient for one in db.scalars(select(OutgoingEmail))] == ["bob@example.com"]


def test_import_writes_nothing_where_a_row_is_refused(
    run: Run, db: Session, tmp_path: Path
) -> None:
    file = saved(tmp_path, f"{USERS_FILE}eve.example.com,Eve,maybe\n")

    refused = run("import", "users", file)
    previewed = run("import", "users", file, "--dry-run")

    rows = [
        "Line 4, email: This is not a valid e-mail address.",
        "Line 4, is_active: Must be true or false.",
    ]
    for outcome in (refused, previewed):
        assert (outcome.returncode, outcome.stdout) == (1, "")
        assert outcome.stderr.splitlines()[:2] == rows
        assert "1 row is refused" in outcome.stderr
    assert db.scalars(select(User)).all() == []


def test_import_on_trial_writes_nothing(run: Run, db: Session, tmp_path: Path) -> None:
    tried = run("import", "users", saved(tmp_path, USERS_FILE), "--dry-run")

    assert tried.returncode == 0
    assert tried.stdout == "Dry run: nothing was written.\nCreated 2, updated 0, skipped 0.\n"
    assert db.scalars(select(User)).all() == []
    assert db.scalars(select(AuditEvent)).all() == []


def test_import_is_audited_as_whom_it_was_done_for(
    run: Run, db: Session, tmp_path: Path, client_of: Callable[[User], TestClient]
) -> None:
    admin = make_user(db, email="root@example.com", role=Role.ADMIN)
    file = saved(tmp_path, '{"title": "Lamp"}\n{"title": "Oak"}\n', "items.jsonl")

    imported = run("import", "items", file, "--as", "Root@Example.com")

    assert imported.stdout == "Created 2, updated 0, skipped 0.\n"
    assert set(db.scalars(select(Item.owner_id))) == {admin.id}
    events = db.scalars(select(AuditEvent)).all()
    assert {(one.actor_id, one.actor_email) for one in events} == {(admin.id, "root@example.com")}
    (request_id,) = {one.request_id for one in events}
    reverted = client_of(admin).post(f"/api/v1/audit/{request_id}/revert")
    assert reverted.status_code == 200


def test_import_without_a_name_is_audited_without_an_actor(
    run: Run, db: Session, tmp_path: Path
) -> None:
    run("import", "users", saved(tmp_path, USERS_FILE))

    events = db.scalars(select(AuditEvent).where(AuditEvent.resource_type == "user")).all()
    assert [(one.action, one.actor_id, one.actor_email) for one in events] == [
        ("create", None, None),
        ("create", None, None),
    ]


def test_import_keeps_to_the_rights_of_whom_it_is_done_for(
    run: Run, db: Session, tmp_path: Path
) -> None:
    make_user(db, email="auditor@example.com", role=Role.AUDITOR)
    make_user(db, email="gone@example.com", role=Role.ADMIN, is_active=False)
    make_user(db, email="boss@example.com", role=Role.MANAGER, department="Sales")
    file = saved(tmp_path, "email,department\nann@example.com,Home\n")

    outcomes = {
        name: run("import", "users", file, "--as", f"{name}@example.com")
        for name in ("auditor", "gone", "boss", "nobody")
    }

    assert {one.returncode for one in outcomes.values()} == {1}
    assert "role does not permit" in outcomes["auditor"].stderr
    assert "Line 2, department: " in outcomes["boss"].stderr
    assert "nobody@example.com" in outcomes["nobody"].stderr
    assert db.scalar(select(User).where(User.email == "ann@example.com")) is None


def test_import_takes_back_what_export_wrote(run: Run, db: Session, tmp_path: Path) -> None:
    owner = make_user(db, email="ann@example.com", role=Role.ADMIN)
    lamp = make_item(db, owner=owner, title="Lamp")
    file = tmp_path / "items.xlsx"
    run("export", "items", "--format", "xlsx", "--output", file)
    before = file.read_bytes()

    again = run("import", "items", file, "--as", "ann@example.com", "--on-conflict", "update")

    assert again.returncode == 0
    assert again.stdout.splitlines() == [
        "Ignored columns: created_at, owner_id, updated_at.",
        "Created 0, updated 0, skipped 1.",
    ]
    assert file.read_bytes() == before
    assert db.get_one(Item, lamp.id).version == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["letters", "file.csv"], 2, "items, users"),
        (["users", "none.csv"], 2, "none.csv"),
        (["items", "file.csv"], 2, "--as"),
        (["users", "file.csv", "--on-conflict", "ask"], 2, "ask"),
        (["users", "file.txt"], 2, "--format"),
        (["users", "wrong.csv"], 1, "Unrecognised columns: colour."),
    ],
)
def test_import_refuses_what_it_cannot_read(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, USERS_FILE)
    saved(tmp_path, USERS_FILE, "file.txt")
    saved(tmp_path, "email,colour\n", "wrong.csv")

    refused = run("import", *arguments)

    assert refused.returncode == code
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr


def test_progress_is_shown_in_a_terminal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.cli"]
    file = saved(tmp_path, USERS_FILE)

    imported = written_to_terminal([*command, "import", "users", str(file)])
    exported = written_to_terminal([*command, "export", "users"])

    assert f"{len(USERS_FILE)}/{len(USERS_FILE)} bytes" in imported
    assert "Written" in exported


def test_export_takes_the_format_from_the_name(run: Run, db: Session, tmp_path: Path) -> None:
    make_user(db, email="ann@example.com")

    run("export", "users", "--output", tmp_path / "users.jsonl")

    assert json.loads((tmp_path / "users.jsonl").read_text())["email"] == "ann@example.com"


def test_import_shows_a_foreign_file_without_its_control_characters(
    run: Run, tmp_path: Path
) -> None:
    table, lines = tmp_path / "odd.csv", tmp_path / "odd.jsonl"
    table.write_text("\x1b[31mEVIL\x1b]0;pwn\x07\nx\n")
    lines.write_text('{"x\\u001b[2J": 1}\n')

    for file in (table, lines):
        refused = run("import", "users", file)
        assert refused.returncode == 1
        assert "\x1b" not in refused.stderr + refused.stdout
        assert "\ufffd" in refused.stderr
