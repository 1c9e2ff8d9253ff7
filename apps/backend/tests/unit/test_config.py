import secrets
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.core.config import TOP, Settings

PRINTABLE = string.ascii_letters + string.digits + string.punctuation
STRONG_KEY = "kR7-vQ2_mX9pL4tZ8wB1nC6yD3fG5hJ0sA"
PRODUCTION = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": STRONG_KEY,
    "DATABASE_URL": "postgresql://backdesk:hush-hush@db/backdesk",
    "PUBLIC_URL": "https://backdesk.example.com",
}

Configure = Callable[..., Settings]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Read the settings from these environment variables, and from no others."""
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def configure(**values: str) -> Settings:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return Settings()

    return configure


def causes(configure: Configure, **values: str) -> dict[str, str]:
    """Return what a start with these values is refused for, by setting."""
    with pytest.raises(ValidationError) as caught:
        configure(**values)
    return {str(error["loc"][0]): error["msg"] for error in caught.value.errors()}


# --- Secrets from files.

SECRETS = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field)}
SAMPLES = {
    "DATABASE_URL": "postgresql+psycopg2://backdesk:hush-hush@db/backdesk",
    "DATABASE_DIRECT_URL": "postgresql+psycopg2://backdesk:hush-hush@db/backdesk",
    "REDIS_URL": "redis://:hush-hush@redis:6379/0",
}


def test_secrets_are_known() -> None:
    assert {"SECRET_KEY", "POSTGRES_PASSWORD", "SMTP_PASSWORD", *SAMPLES} < SECRETS


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_secret_is_read_from_its_file(
    configure: Configure, tmp_path: Path, name: str, end: str
) -> None:
    value = SAMPLES.get(name, f" {STRONG_KEY} ")
    (tmp_path / "secret").write_bytes(f"{value}{end}".encode())

    settings = configure(**{f"{name}_FILE": str(tmp_path / "secret")})

    assert getattr(settings, name).get_secret_value() == value


def test_secret_file_is_named_in_the_settings_file_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(STRONG_KEY)
    (tmp_path / ".env").write_text(f"SECRET_KEY_FILE={tmp_path / 'secret'}\n")
    monkeypatch.delenv("SECRET_KEY", raising=False)

    settings = Settings(_env_file=tmp_path / ".env")

    assert settings.SECRET_KEY.get_secret_value() == STRONG_KEY


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_secret_that_is_set_twice_is_refused(
    configure: Configure, tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret").write_text(SAMPLES.get(name, STRONG_KEY))
    both = {name: SAMPLES.get(name, STRONG_KEY), f"{name}_FILE": str(tmp_path / "secret")}

    refusal = causes(configure, **both)

    assert refusal == {name: f"Value error, is set twice: remove {name} or {name}_FILE"}


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_secret_file_that_cannot_be_read_is_refused_with_its_path(
    configure: Configure, tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff")

    for file, reason in (
        ("empty", "empty"),
        ("none", "No such"),
        ("binary", "UTF-8"),
        ("", "Is a"),
    ):
        path = str(tmp_path / file)
        (refusal,) = causes(configure, **{f"{name}_FILE": path}).items()
        assert refusal[0] == name
        assert path in refusal[1]
        assert reason in refusal[1]


def test_file_settings_without_a_file_change_nothing(configure: Configure) -> None:
    settings = configure(SECRET_KEY_FILE="", PROJECT_NAME_FILE="/nowhere", ANYTHING_FILE="/nowhere")

    assert settings.PROJECT_NAME == "Backdesk"


def test_password_is_put_into_the_address_of_the_database(configure: Configure) -> None:
    password = "p@ss/w:rd?%23"
    urls = {"DATABASE_URL": "postgresql://backdesk@db/backdesk"}

    url = configure(**urls, POSTGRES_PASSWORD=password).database_url
    own = configure(DATABASE_URL="postgresql://backdesk:own@db/backdesk").database_url
    sqlite = configure(DATABASE_URL="sqlite:///data/x.db").database_url

    assert (url.password, own.password, sqlite.password) == (password, "own", None)


# --- What starts.


def test_settings_of_local_need_nothing(configure: Configure) -> None:
    settings = configure()

    assert settings.ENVIRONMENT == "local"
    assert settings.is_sqlite
    assert settings.API_V1_STR == "/api/v1"
    assert settings.ACCESS_TOKEN_EXPIRE_MINUTES == 15
    assert settings.DEFAULT_TOKEN_QUOTA == 100_000
    assert settings.MAX_BODY_BYTES == 1024 * 1024
    assert settings.MAX_PAGE_SIZE == 1000
    assert (settings.ALLOWED_ORIGINS, settings.ALLOWED_HOSTS) == ([], [])


def test_settings_of_production_may_be_complete(configure: Configure) -> None:
    settings = configure(**PRODUCTION, WEB_CONCURRENCY="4", FIRST_ADMIN_PASSWORD="wallpaper-1")

    assert settings.SECRET_KEY.get_secret_value() == STRONG_KEY
    assert not settings.is_sqlite


@pytest.mark.parametrize(
    "make",
    [
        secrets.token_hex,
        secrets.token_urlsafe,
        lambda size: secrets.token_bytes(size).hex(),
        lambda size: "".join(secrets.choice(PRINTABLE) for _ in range(size)),
    ],
)
@pytest.mark.parametrize("size", [32, 48, 96])
def test_settings_take_random_keys(
    configure: Configure, make: Callable[[int], str], size: int
) -> None:
    keys = {make(size) for _ in range(20)}

    for key in keys:
        settings = configure(**PRODUCTION | {"SECRET_KEY": key})
        assert settings.SECRET_KEY.get_secret_value() == key


@pytest.mark.parametrize(
    "value",
    [
        "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,127.0.0.0/8,fc00::/7,fe80::/10",
        "103.21.244.0/22,104.16.0.0/13,2400:cb00::/32",
        "192.0.2.7,2001:db8::7",
    ],
)
def test_settings_take_the_networks_that_proxies_are_in(configure: Configure, value: str) -> None:
    settings = configure(**PRODUCTION | {"TRUSTED_PROXIES": value})

    assert value.split(",") == settings.TRUSTED_PROXIES


def test_settings_of_local_make_a_key_up(configure: Configure) -> None:
    keys = {configure().SECRET_KEY.get_secret_value() for _ in range(2)}

    assert len(keys) == 2
    assert all(len(key) >= 32 for key in keys)


def test_settings_take_nothing_for_an_empty_variable(configure: Configure) -> None:
    settings = configure(FIRST_ADMIN_EMAIL="", FIRST_ADMIN_PASSWORD="", MAX_PAGE_SIZE="")

    assert settings.FIRST_ADMIN_EMAIL is None
    assert settings.FIRST_ADMIN_PASSWORD is None
    assert settings.MAX_PAGE_SIZE == 1000


def test_settings_come_from_a_file_where_the_environment_is_silent(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PROJECT_NAME=Filed\nMAX_PAGE_SIZE=7\nUNKNOWN=1\n")
    monkeypatch.setenv("MAX_PAGE_SIZE", "9")

    settings = Settings(_env_file=tmp_path / ".env")

    assert settings.PROJECT_NAME == "Filed"
    assert settings.MAX_PAGE_SIZE == 9


def test_settings_know_an_unlimited_quota(configure: Configure) -> None:
    settings = configure(DEFAULT_TOKEN_QUOTA=" NULL ")

    assert settings.DEFAULT_TOKEN_QUOTA is None


# --- What is refused outside `local`.


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("SECRET_KEY", "kR7-vQ2_mX9pL4tZ8wB1nC6yD3fG5h"),
        ("SECRET_KEY", "a" * 64),
        ("SECRET_KEY", "abababababababababababababababababab"),
        ("SECRET_KEY", "changeme-changeme-changeme-changeme"),
        ("SECRET_KEY", "CHANGE_THIS_KEY_TO_SOMETHING_ELSE_1234"),
        ("SECRET_KEY", "your-key-goes-here-0123456789-abcdefgh"),
        ("SECRET_KEY", "this-is-my-super-secret-key-1234567890"),
        ("SECRET_KEY", "0123456789" * 4),
        ("SECRET_KEY", "abcdefghijklmnopqrstuvwxyz0123456789"),
        ("SECRET_KEY", "AbCdEfGhIjKlMnOpQrStUvWxYz012345"),
        ("SECRET_KEY", "0123456789abcdef0123456789abcdef"),
        ("SECRET_KEY", "zyxwvutsrqponmlkjihgfedcba9876543210"),
        ("SECRET_KEY", "qwertyuiopasdfghjklzxcvbnm1234567890"),
        ("SECRET_KEY", "xK9-mJ2_xK9-mJ2_xK9-mJ2_xK9-mJ2_xK9-mJ2_"),
        ("SECRET_KEY", "00112233445566778899aabbccddeeff"),
        ("SECRET_KEY", "deadbeef" * 5),
        ("SECRET_KEY", "Passw0rd!Passw0rd!Passw0rd!Passw0rd!"),
        ("SECRET_KEY", "please-set-me-to-something-long-and-good"),
        ("SECRET_KEY", "PLEASE_SET_ME_PLEASE_SET_ME_PLEASE_SET"),
        ("SECRET_KEY", "set_me_before_going_live_1234567890abc"),
        ("SECRET_KEY", "replace-this-by-a-key-of-your-own-4711"),
        ("SECRET_KEY", "insert-a-long-key-here-before-the-start"),
        ("SECRET_KEY", "some random text that nobody will guess"),
        ("SECRET_KEY", "YOUR_KEY_GOES_HERE_0123456789_abcdefgh"),
        ("SECRET_KEY", "yoursecretkeyyoursecretkeyyoursecretkey"),
        ("SECRET_KEY", "todo-fill-this-in-todo-fill-this-in"),
        ("SECRET_KEY", "-" * 40),
        ("SECRET_KEY", "_. -" * 10),
        ("SECRET_KEY", "FILL_THIS_IN_FILL_THIS_IN_FILL_THIS_IN"),
        ("SECRET_KEY", "fill-me-in-before-you-start-this-app"),
        ("SECRET_KEY", "ch4ngeme-ch4ngeme-ch4ngeme-ch4ngeme"),
        ("SECRET_KEY", "c-h-a-n-g-e-m-e-c-h-a-n-g-e-m-e-1234567"),
        ("SECRET_KEY", "ch@nge_me_before_you_begin_ch@nge_me"),
        ("SECRET_KEY_PREVIOUS", "0123456789" * 4),
        ("SECRET_KEY_PREVIOUS", "please-set-me-to-something-long-and-good"),
        ("SECRET_KEY_PREVIOUS", "kR7-vQ2_mX9pL4tZ8wB1nC6yD3fG5h"),
        ("SECRET_KEY_PREVIOUS", "a" * 64),
        ("SECRET_KEY_PREVIOUS", "changeme-changeme-changeme-changeme"),
        ("SECRET_KEY_PREVIOUS", STRONG_KEY),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("TRUSTED_PROXIES", '["10.0.0.0/8", "::/0"]'),
        ("TRUSTED_PROXIES", "0.0.0.0/1,128.0.0.0/1"),
        ("TRUSTED_PROXIES", "128.0.0.0/1"),
        ("TRUSTED_PROXIES", "::/1,8000::/1"),
        ("TRUSTED_PROXIES", "2000::/3"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,64.0.0.0/4"),
        ("TRUSTED_PROXIES", ",".join(f"{first}.0.0.0/8" for first in range(1, 255))),
        ("TRUSTED_PROXIES", ",".join(f"{first}.0.0.0/8" for first in range(1, 255, 2))),
        ("FIRST_ADMIN_PASSWORD", "change-this-password"),
        ("ALLOWED_ORIGINS", '["*"]'),
        ("ALLOWED_ORIGINS", "https://panel.example.com,*"),
        ("ALLOWED_HOSTS", "*"),
    ],
)
def test_settings_outside_local_refuse(
    configure: Configure, environment: str, name: str, value: str
) -> None:
    found = causes(configure, **PRODUCTION | {"ENVIRONMENT": environment, name: value})

    assert set(found) == {name}


@pytest.mark.parametrize(
    "host",
    [
        "*example.com",
        "*.*.example.com",
        "a.*.example.com",
        "**",
        "panel.example.com:8000",
        "https://panel.example.com",
        "panel.example.com/x",
        "x]panel.example.com",
        "panel example.com",
        ".example.com",
    ],
)
@pytest.mark.parametrize("environment", ["local", "production"])
def test_host_that_could_be_mistaken_is_refused(
    configure: Configure, environment: str, host: str
) -> None:
    settings = PRODUCTION | {"ENVIRONMENT": environment, "ALLOWED_HOSTS": f"a.example.com,{host}"}

    found = causes(configure, **settings)

    assert set(found) == {"ALLOWED_HOSTS"}
    assert "*.example.com" in found["ALLOWED_HOSTS"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "changeme-changeme-changeme-changeme"),
        ("SECRET_KEY_PREVIOUS", "short"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("FIRST_ADMIN_PASSWORD", "change-this-password"),
        ("ALLOWED_ORIGINS", '["*"]'),
        ("ALLOWED_HOSTS", "*"),
        ("WEB_CONCURRENCY", "1"),
    ],
)
def test_settings_of_local_take_what_is_refused_elsewhere(
    configure: Configure, name: str, value: str
) -> None:
    settings = configure(**{name: value})

    assert settings.ENVIRONMENT == "local"


def test_settings_outside_local_refuse_sqlite_for_several_workers(configure: Configure) -> None:
    several = PRODUCTION | {"DATABASE_URL": "sqlite:////srv/backdesk.db", "WEB_CONCURRENCY": "2"}

    found = causes(configure, **several)

    assert set(found) == {"DATABASE_URL"}
    assert "SQLite" in found["DATABASE_URL"]


def test_settings_outside_local_take_sqlite_for_one_worker(configure: Configure) -> None:
    settings = configure(**PRODUCTION | {"DATABASE_URL": "sqlite:////srv/backdesk.db"})

    assert settings.is_sqlite


def test_settings_of_several_workers_need_a_key_they_share(configure: Configure) -> None:
    found = causes(configure, WEB_CONCURRENCY="2")

    assert set(found) == {"SECRET_KEY"}


def test_settings_name_every_cause_at_once(configure: Configure) -> None:
    found = causes(
        configure,
        ENVIRONMENT="production",
        SECRET_KEY="short",
        DATABASE_URL="sqlite:///./x.db",
        WEB_CONCURRENCY="3",
        FIRST_ADMIN_PASSWORD="change-this-password",
        ALLOWED_ORIGINS="*",
        ALLOWED_HOSTS="*",
        MAX_PAGE_SIZE="0",
        ALGORITHM="none",
    )

    assert set(found) == {
        "SECRET_KEY",
        "DATABASE_URL",
        "FIRST_ADMIN_PASSWORD",
        "ALLOWED_ORIGINS",
        "ALLOWED_HOSTS",
        "MAX_PAGE_SIZE",
        "ALGORITHM",
    }


def test_settings_are_strict_where_the_environment_is_misspelt(configure: Configure) -> None:
    found = causes(configure, ENVIRONMENT="prod", SECRET_KEY="short")

    assert set(found) == {"ENVIRONMENT", "SECRET_KEY", "ALLOWED_HOSTS"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVIRONMENT", "Production"),
        ("ALGORITHM", "none"),
        ("ALGORITHM", "RS256"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "0"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "forever"),
        ("DB_POOL_SIZE", "0"),
        ("DB_POOL_TIMEOUT_SECONDS", "-1"),
        ("STATEMENT_TIMEOUT_SECONDS", "0"),
        ("MAX_BODY_BYTES", "0"),
        ("MAX_PAGE_SIZE", "-1"),
        ("DEFAULT_TOKEN_QUOTA", "-1"),
        ("DEFAULT_TOKEN_QUOTA", str(2**63)),
        ("WEB_CONCURRENCY", "0"),
        ("API_V1_STR", "api"),
        ("API_V1_STR", "/"),
        ("API_V1_STR", "/api/"),
        ("PUBLIC_URL", "backdesk.example.com"),
        ("PUBLIC_URL", "ftp://backdesk.example.com"),
        ("PUBLIC_URL", "https://user:password@backdesk.example.com"),
        ("PUBLIC_URL", "https://backdesk.example.com/#top"),
        ("PUBLIC_URL", "https://backdesk.example.com?page=1"),
        ("PUBLIC_URL", "https://backdesk.example.com:70000"),
        ("PUBLIC_URL", "https://[::1"),
        ("PUBLIC_URL", "https://"),
        ("PANEL_URL", "panel.example.com"),
        ("PANEL_URL", "javascript:alert(1)"),
        ("PANEL_URL", "https://user@panel.example.com"),
        ("PANEL_URL", "https://panel.example.com/#/users"),
        ("PANEL_URL", "https://panel.example.com/\nBcc: x"),
        ("LOG_LEVEL", "LOUD"),
        ("DOCS_ENABLED", "perhaps"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REDIS_URL", "http://127.0.0.1:6379"),
        ("DEFAULT_TIME_ZONE", "Mars/Olympus"),
        ("DEFAULT_TIME_ZONE", "localtime"),
        ("DEFAULT_TIME_ZONE", "Factory"),
        ("DEFAULT_TIME_ZONE", "right/UTC"),
        ("DEFAULT_TIME_ZONE", "/etc/localtime"),
        ("DEFAULT_TIME_ZONE", "+02:00"),
        ("TRUSTED_PROXIES", "*"),
        ("TRUSTED_PROXIES", "proxy.example.com"),
        ("TRUSTED_PROXIES", '["10.0.0.1", "10.0.0.300"]'),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("EMAILS_FROM", "Backdesk"),
        ("EMAILS_FROM", "Backdesk <>"),
        ("SMTP_PORT", "0"),
        ("SMTP_SECURITY", "ssl"),
        ("SMTP_TIMEOUT_SECONDS", "0"),
        ("RATE_LIMIT_LOGIN", "many"),
        ("RATE_LIMIT_LOGIN", "5"),
        ("RATE_LIMIT_LOGIN", "0/minute"),
        ("RATE_LIMIT_LOGIN", "5/0 minute"),
        ("RATE_LIMIT_LOGIN", "-5/minute"),
        ("RATE_LIMIT_ANONYMOUS", "60/minute,1000/hour"),
        ("RATE_LIMIT_ANONYMOUS", "60/minute;"),
        ("RATE_LIMIT_USER", "1200/fortnight"),
        ("RATE_LIMIT_REFRESH", "\u0665/minute"),
        ("RATE_LIMIT_LETTERS", "5/hour\n"),
        ("RATE_LIMIT_LOGIN_ADDRESS", "1e3/minute"),
    ],
)
def test_settings_refuse_nonsense_anywhere(configure: Configure, name: str, value: str) -> None:
    found = causes(configure, **{name: value})

    assert name in found


def test_settings_refuse_a_mail_server_without_a_sender(configure: Configure) -> None:
    found = causes(configure, SMTP_HOST="mail.example.com")

    assert set(found) == {"EMAILS_FROM"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "redis://127.0.0.1:6379/0"),
        ("REDIS_URL", "rediss://:hush@redis.example.com/1"),
        ("TRUSTED_PROXIES", "10.0.0.1"),
        ("TRUSTED_PROXIES", '["10.0.0.0/8", "fd00::/8"]'),
        ("EMAILS_FROM", "Backdesk <backdesk@example.com>"),
        ("EMAILS_FROM", "backdesk@example.com"),
        ("RATE_LIMIT_ANONYMOUS", "60/minute;1000/hour"),
        ("RATE_LIMIT_LOGIN", "5 / 2 minute"),
    ],
)
def test_settings_of_production_may_be_set(configure: Configure, name: str, value: str) -> None:
    configure(**PRODUCTION, **{name: value})


# --- The database's URL.


@pytest.mark.parametrize("scheme", ["postgresql://", "postgres://", "postgresql+psycopg2://"])
def test_settings_mean_psycopg2_by_postgresql(configure: Configure, scheme: str) -> None:
    settings = configure(DATABASE_URL=f"{scheme}ann:hush@db.example.com:5433/desk")

    url = settings.database_url
    assert url.drivername == "postgresql+psycopg2"
    assert (url.username, url.password, url.host) == ("ann", "hush", "db.example.com")
    assert (url.port, url.database) == (5433, "desk")


def test_settings_keep_the_rest_of_the_url(configure: Configure) -> None:
    settings = configure(
        DATABASE_URL="postgres://ann:p%40ss%2F%3Aw%25rd@/desk?host=/var/run&sslmode=require"
    )

    url = settings.database_url
    assert url.password == "p@ss/:w%rd"
    assert dict(url.query) == {"host": "/var/run", "sslmode": "require"}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://ann:hush@db/desk",
        "postgres+asyncpg://ann:hush@db/desk",
        "sqlite+aiosqlite:///./x.db",
        "postgresql+psycopg_async://ann:hush@db/desk",
    ],
)
def test_settings_refuse_async_drivers_with_a_hint(configure: Configure, url: str) -> None:
    found = causes(configure, DATABASE_URL=url)

    assert "synchronous" in found["DATABASE_URL"]
    assert "postgresql://" in found["DATABASE_URL"]


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "://",
        "mysql://ann:hush@db/desk",
        "postgresql+psycopg://ann:hush@db/desk",
        "http://db/desk",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_settings_refuse_other_databases(configure: Configure, url: str) -> None:
    found = causes(configure, DATABASE_URL=url)

    assert set(found) == {"DATABASE_URL"}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///./data/x.db", TOP / "data/x.db"),
        ("sqlite:///x.db", TOP / "x.db"),
        ("sqlite:////srv/x.db", Path("/srv/x.db")),
    ],
)
def test_settings_start_relative_files_at_the_top(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    settings = configure(DATABASE_URL=url)

    assert Path(str(settings.database_url.database)) == path


# --- Lists.


@pytest.mark.parametrize("name", ["ALLOWED_ORIGINS", "BACKEND_CORS_ORIGINS"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('["https://a.example", "https://b.example"]', ["https://a.example", "https://b.example"]),
        ('["https://a.example"]', ["https://a.example"]),
        ("https://a.example", ["https://a.example"]),
        ("https://a.example,https://b.example", ["https://a.example", "https://b.example"]),
        (" https://a.example , https://b.example ,", ["https://a.example", "https://b.example"]),
        ("['https://a.example']", ["https://a.example"]),
        ("[]", []),
        ("", []),
    ],
)
def test_settings_read_lists_as_json_and_with_commas(
    configure: Configure, name: str, value: str, expected: list[str]
) -> None:
    settings = configure(**{name: value})

    assert expected == settings.ALLOWED_ORIGINS


def test_settings_read_hosts_as_they_read_origins(configure: Configure) -> None:
    settings = configure(ALLOWED_HOSTS="a.example, b.example")

    assert settings.ALLOWED_HOSTS == ["a.example", "b.example"]


# --- Secrets.

HIDDEN: dict[str, Any] = {
    "SECRET_KEY": "never-to-be-shown-1",
    "DATABASE_URL": "postgresql://ann:never-to-be-shown-2@db/desk",
    "FIRST_ADMIN_PASSWORD": "never-to-be-shown-3",
    "SECRET_KEY_PREVIOUS": "never-to-be-shown-4",
    "REDIS_URL": "redis://ann:never-to-be-shown-5@redis/0",
    "SMTP_PASSWORD": "never-to-be-shown-6",
}


def test_settings_show_no_secrets(configure: Configure) -> None:
    settings = configure(**HIDDEN)

    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "never-to-be-shown" not in shown


@pytest.mark.parametrize(
    "values",
    [
        HIDDEN | {"ENVIRONMENT": "production"},
        HIDDEN | {"MAX_PAGE_SIZE": "0"},
        HIDDEN | {"DATABASE_URL": "mysql://ann:never-to-be-shown@db/desk"},
        HIDDEN | {"DATABASE_URL": "postgresql+asyncpg://ann:never-to-be-shown@db/desk"},
        HIDDEN | {"DATABASE_URL": "never-to-be-shown"},
        HIDDEN | {"DATABASE_URL": "postgresql://ann:never-to-be-shown@db:port/desk"},
        HIDDEN | {"ENVIRONMENT": "never-to-be-shown"},
        HIDDEN | {"REDIS_URL": "never-to-be-shown"},
        HIDDEN | {"SMTP_HOST": "mail", "EMAILS_FROM": "never-to-be-shown"},
        HIDDEN | {"TRUSTED_PROXIES": "never-to-be-shown"},
        HIDDEN | {"RATE_LIMIT_LOGIN": "never-to-be-shown"},
    ],
)
def test_settings_show_no_secrets_in_a_refusal(
    configure: Configure, values: dict[str, str]
) -> None:
    with pytest.raises(ValidationError) as caught:
        configure(**values)

    assert "never-to-be-shown" not in f"{caught.value} {caught.value!r}"
    assert caught.value.__cause__ is None
