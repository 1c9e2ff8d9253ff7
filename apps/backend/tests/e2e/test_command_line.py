"""The command line, as an operator types it, on a database of its own."""

import json
import re
import socket
import sys
from pathlib import Path

import pytest

from app.cli.__main__ import main
from app.schemas.letter import LetterTemplate
from tests.command import Outcome, Run
from tests.project.tools import require_ruff
from tests.server import BACKEND, free_port
from tests.services.redis import RedisServer
from tests.services.smtp import running_catcher
from tests.settings import changed_settings, client_with

PASSWORD = "wallpaper-on-tuesday"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command on an empty SQLite database; keyword arguments are settings."""

    def run(*arguments: str, **settings: str) -> Outcome:
        defaults = {
            "DATABASE_URL": f"sqlite:///{tmp_path}/commands.db",
            "WEB_CONCURRENCY": "1",  # Put back when `--workers` has set it.
            "PUBLIC_URL": "",  # Likewise when `--port` has.
        }
        monkeypatch.setattr(sys, "argv", ["backdesk", *arguments])
        with changed_settings(**defaults | settings), pytest.raises(SystemExit) as ended:
            main()
        written = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), written.out, written.err)

    return run


def test_migrate_checks_and_goes_up_and_down(run: Run) -> None:
    before = run("migrate", "--check")
    up = run("migrate")
    after = run("migrate", "--check")
    down = run("migrate", "--to", "base")

    assert (before.returncode, up.returncode, after.returncode, down.returncode) == (1, 0, 0, 0)
    assert "run migrate" in before.stderr
    assert "empty" in down.stdout


def test_migrate_refuses_an_unknown_revision(run: Run) -> None:
    run("migrate")

    for name in ("nowhere", "aedb8a31", "+1", ""):
        refused = run("migrate", f"--to={name}")

        assert refused.returncode == 1
        assert refused.stderr.startswith(f"Error: there is no revision {name}")
    assert run("migrate", "--check").returncode == 0


def test_create_admin_takes_the_first_from_the_settings(run: Run) -> None:
    run("migrate")

    created = run(
        "create-admin",
        FIRST_ADMIN_EMAIL="Root@Example.com",
        FIRST_ADMIN_PASSWORD="wallpaper-on-tuesday",
    )

    assert created.returncode == 0
    assert "root@example.com" in created.stdout
    assert "wallpaper-on-tuesday" not in created.stdout + created.stderr


def test_create_admin_makes_up_a_password_once_and_does_nothing_then(run: Run) -> None:
    run("migrate")

    first = run("create-admin", "--if-missing")
    second = run("create-admin", "--if-missing")

    assert "shown only now" in first.stdout
    assert (second.returncode, second.stdout) == (0, "")


def test_create_admin_asks_nobody_without_a_terminal(run: Run) -> None:
    run("migrate")

    refused = run("create-admin")

    assert refused.returncode == 2
    assert "FIRST_ADMIN_EMAIL" in refused.stderr


def test_reset_password_names_an_unknown_user(run: Run) -> None:
    run("migrate")

    refused = run("reset-password", "nobody@example.com")

    assert refused.returncode == 1
    assert "nobody@example.com" in refused.stderr


def test_end_sessions_signs_everybody_out(run: Run, tmp_path: Path) -> None:
    run("migrate")
    run("create-admin", FIRST_ADMIN_EMAIL="ann@example.com", FIRST_ADMIN_PASSWORD=PASSWORD)
    form = {"username": "ann@example.com", "password": PASSWORD}
    with client_with(DATABASE_URL=f"sqlite:///{tmp_path}/commands.db") as client:
        token = client.post("/api/v1/auth/login", data=form).json()["access_token"]

    ended, again = run("end-sessions", "Ann@Example.com"), run("end-sessions")

    assert (ended.stdout, again.stdout) == ("1 sessions are ended.\n", "0 sessions are ended.\n")
    with client_with(DATABASE_URL=f"sqlite:///{tmp_path}/commands.db") as client:
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/api/v1/users/me", headers=headers).status_code == 401


def test_emails_preview_writes_each_without_a_database(run: Run, tmp_path: Path) -> None:
    settings = {
        "DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/none",
        "PANEL_URL": "https://panel.example.com/desk",
        "PROJECT_NAME": "Ann & Ben",
    }
    written = run("emails", "preview", str(tmp_path / "new" / "folder"), **settings)

    files = {path.name: path.read_text() for path in (tmp_path / "new" / "folder").iterdir()}
    assert written.returncode == 0
    assert str(tmp_path / "new" / "folder") in written.stdout
    assert set(files) == {f"{one}.{kind}" for one in LetterTemplate for kind in ("html", "txt")}
    for name, text in files.items():
        assert "https://panel.example.com/desk" in text, name
        assert ("Ann &amp; Ben" if name.endswith("html") else "Ann & Ben") in text, name
    assert "7 days" in files["invitation.txt"]


def test_emails_preview_names_a_folder_that_cannot_be(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    refused = run("emails", "preview", str(tmp_path / "file"))

    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: cannot write into {tmp_path / 'file'}: ")


def test_commands_before_the_first_migration_say_so(run: Run) -> None:
    refused = run("create-admin", "--if-missing")

    assert refused.returncode == 1
    assert "run migrate" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_seed_says_that_tables_are_missing_before_it_begins(run: Run) -> None:
    refused = run("seed")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "run migrate first" in refused.stderr


def test_checks_jobs_and_routes_are_told_to_programs_as_json(run: Run) -> None:
    behind = run("check", "--json")
    run("migrate")
    in_order, jobs, routes = (run(name, "--json") for name in ("check", "jobs", "routes"))

    assert (behind.returncode, in_order.returncode) == (1, 0)
    assert json.loads(behind.stdout)[-1]["name"] == "database"
    assert "run migrate" in json.loads(behind.stdout)[-1]["fault"]
    checked = {one["name"]: one["fault"] for one in json.loads(in_order.stdout)}
    assert checked == dict.fromkeys(("settings", "database", "schema", "redis", "letters"))
    assert {one["name"]: one["is_running"] for one in json.loads(jobs.stdout)} == {
        "deliver-mail": False,
        "clean-up": False,
        "retention": False,
    }
    assert {
        "method": "GET",
        "path": "/api/v1/items/",
        "who": "items:read",
        "limits": [],
    } in json.loads(routes.stdout)


def test_jobs_are_listed_with_their_last_run(run: Run) -> None:
    run("migrate")
    before = run("jobs")
    run("clean-up")
    after = run("jobs")

    assert re.search(r"^clean-up +now +never *$", before.stdout, re.MULTILINE)
    assert re.search(r"^clean-up +\d{4}-\d\d-\d\d [\d:]{8} UTC +\S", after.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["new-migration", "reset-password", "export", "import"])
def test_command_without_its_arguments_helps(run: Run, command: str) -> None:
    helped = run(command)

    assert helped.returncode == 2
    assert "--help" in helped.stdout + helped.stderr


def test_seed_adds_demo_data_but_never_in_production(run: Run) -> None:
    run("migrate")

    seeded = run("seed", "--users", "20", "--items", "40")
    refused = run("seed", ENVIRONMENT="production", PUBLIC_URL="https://api.example.com")

    assert seeded.returncode == 0
    assert "20/20" in seeded.stdout
    assert "40/40" in seeded.stdout
    assert refused.returncode == 1


def test_check_and_migrate_check_make_no_database(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/none.db"

    checked = run("check", DATABASE_URL=url)
    compared = run("migrate", "--check", DATABASE_URL=url)

    assert (checked.returncode, compared.returncode) == (1, 1)
    assert "does not exist yet" in checked.stdout
    assert "run migrate" in checked.stdout
    assert not (tmp_path / "nowhere").exists()


def test_check_shows_no_secret_of_any_setting(run: Run) -> None:
    secrets = {
        "SECRET_KEY": "never-to-be-shown-0123456789-abcdefghij",
        "SECRET_KEY_PREVIOUS": "never-to-be-shown-9876543210-abcdefghij",
        "FIRST_ADMIN_PASSWORD": "never-to-be-shown",
        "SMTP_PASSWORD": "never-to-be-shown",
        "REDIS_URL": f"redis://:never-to-be-shown@127.0.0.1:{free_port()}/0",
    }
    host = f"127.0.0.1:{free_port()}"

    for url in (
        f"postgresql://nobody:never-to-be-shown@{host}/none",
        f"postgresql://nobody@{host}/none?password=never-to-be-shown",
        "postgresql://nobody:never-to-be-shown@nowhere.invalid:port/none",
    ):
        outcome = run("check", DATABASE_URL=url, **secrets)
        assert outcome.returncode == 1
        assert "never-to-be-shown" not in outcome.stdout + outcome.stderr


def test_check_names_the_first_fault_and_what_to_do(run: Run) -> None:
    behind = run("check")
    gone = run("check", DATABASE_URL=f"postgresql://nobody:hunter2@127.0.0.1:{free_port()}/none")
    run("migrate")
    in_order = run("check")

    assert (behind.returncode, gone.returncode, in_order.returncode) == (1, 1, 0)
    assert "run migrate" in behind.stdout
    assert "DATABASE_URL" in gone.stdout
    assert "hunter2" not in gone.stdout + gone.stderr


def test_new_migration_writes_nothing_where_nothing_has_changed(run: Run) -> None:
    require_ruff()
    versions = BACKEND / "alembic" / "versions"
    before = set(versions.glob("*.py"))
    run("migrate")

    made = run("new-migration", "what never was")

    assert (made.returncode, set(versions.glob("*.py"))) == (0, before)
    assert "Nothing to write" in made.stdout


def test_create_admin_refuses_a_password_in_words_for_people(run: Run) -> None:
    run("migrate")

    refused = run("create-admin", FIRST_ADMIN_EMAIL="root@example.com", FIRST_ADMIN_PASSWORD="abc")

    assert refused.returncode == 1
    assert refused.stderr.strip() == "Error: password must have at least 8 characters"


def test_check_names_what_keeps_letters_from_leaving(run: Run) -> None:
    run("migrate")
    with running_catcher() as mail:
        in_order = run("check", **mail.settings)
        no_tls = run("check", **mail.settings | {"SMTP_SECURITY": "starttls"})
    gone = run("check", **mail.settings)

    assert (in_order.returncode, no_tls.returncode, gone.returncode) == (0, 1, 1)
    assert mail.letters == []
    assert "offers no STARTTLS" in no_tls.stdout
    assert "SMTP_PORT" in gone.stdout


def test_check_tells_outside_local_that_letters_have_no_way(run: Run) -> None:
    run("migrate")

    checked = run("check", ENVIRONMENT="staging", PUBLIC_URL="https://desk.example.com")

    assert checked.returncode == 1
    assert "set SMTP_HOST" in checked.stdout


def test_deliver_mail_tells_how_it_went(run: Run) -> None:
    run("migrate")

    delivered = run("deliver-mail")

    assert (delivered.returncode, delivered.stdout) == (0, "nothing was due\n")


def test_check_asks_redis_where_it_is_set(run: Run, redis: RedisServer) -> None:
    run("migrate")

    unset = run("check")
    answering = run("check", REDIS_URL=redis.url)
    redis.freeze()
    frozen = run("check", REDIS_URL=redis.url.replace("://", "://:hunter2@"))

    assert (unset.returncode, answering.returncode, frozen.returncode) == (0, 0, 1)
    assert "- Redis" in unset.stdout
    assert "✓ Redis" in answering.stdout
    assert "REDIS_URL" in frozen.stdout
    assert "hunter2" not in frozen.stdout + frozen.stderr


@pytest.mark.parametrize("url", ["http://localhost", "redis://host:port/0", "localhost:6379"])
def test_check_refuses_what_is_no_redis_url(run: Run, url: str) -> None:
    refused = run("check", REDIS_URL=url)

    assert refused.returncode in {1, 2}
    assert "REDIS_URL" in refused.stdout + refused.stderr
    assert url not in refused.stdout + refused.stderr


def test_start_names_every_refused_setting_at_once_without_its_value(run: Run) -> None:
    refused = run(
        "serve",
        "--workers",
        "2",
        ENVIRONMENT="production",
        SECRET_KEY="changeme",
        ALLOWED_ORIGINS='["*"]',
        FIRST_ADMIN_PASSWORD="change-this-password",
    )

    assert refused.returncode == 2
    names = ("DATABASE_URL", "SECRET_KEY", "ALLOWED_ORIGINS", "FIRST_ADMIN_PASSWORD")
    assert all(name in refused.stderr for name in names)
    assert "changeme" not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_routes_and_openapi_are_printed(run: Run) -> None:
    routes = run("routes")
    document = run("openapi")

    assert "items:write" in routes.stdout
    assert document.stdout.startswith("{")


def test_routes_tell_every_limit(run: Run) -> None:
    listed = run("routes", RATE_LIMIT_ENABLED="true").stdout
    off = run("routes").stdout

    assert re.search(
        r"POST +/api/v1/auth/login +public +30/minute per address *\n +5/minute per account *\n",
        listed,
    )
    assert "/api/v1/auth/email/verify/confirm " in listed
    assert "1200/minute per user; without a login 60/minute;1000/hour per address" in listed
    assert "Limits are off" in off


def test_commands_name_a_database_that_is_gone_in_one_line(run: Run) -> None:
    gone = run("migrate", DATABASE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/none")

    assert gone.returncode == 1
    assert len(gone.stderr.strip().splitlines()) == 1


def test_serve_names_a_taken_port_in_one_line(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        refused = run("serve", "--port", str(taken.getsockname()[1]))

    assert refused.returncode == 1
    assert "--port" in refused.stderr
