"""Settings, from the environment or from `.env` at the top of the repository.

Refusals are field validators, so that a start with several mistakes names all of them at once.
The order of the fields counts: a check sees only the fields above its own.
"""

import re
import secrets
from contextlib import suppress
from email.utils import parseaddr
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from zxcvbn import zxcvbn

from app.core.clock import time_zone

TOP: Final = Path(__file__).resolve().parents[4]
# Long enough that chance puts none into a random key.
PLACEHOLDER: Final = re.compile(
    "change|secret|example|placeholder|your[-_]|password|default|please|replace|insert|set[-_]?me|"
    "random|secure|sample|dummy|backdesk|todo[-_]|fill[-_]|fixme|deploy|production"
)
EXAMPLE_ADMIN_PASSWORD: Final = "change-this-password"  # noqa: S105  Refused outside `local`.
MAX_SHEET_ROWS: Final = 1_048_575  # Of a spreadsheet, below the heading.
MIN_KEY_BYTES: Final = 32
MIN_KEY_GUESSES: Final = 20.0  # Powers of ten. Even 32 random digits take more, "0123…" far fewer.
MAX_TRUSTED_SHARE: Final = 1 / 32  # Of all addresses; the private networks together are less.

ASYNC_DRIVERS: Final = frozenset({"aiosqlite", "asyncpg", "psycopg_async", "aiopg"})

TextList = Annotated[list[str], NoDecode]
_RATE: Final = r"[1-9][0-9]* ?/ ?([1-9][0-9]*)? ?(second|minute|hour|day)"
_HOST: Final = (
    r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[?[0-9A-Fa-f]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]?"
)


def _refuse_no_rate(value: str) -> str:
    if not re.fullmatch(f"{_RATE}(;{_RATE})*", value):
        raise ValueError("must be a limit such as 5/minute, or several: 60/minute;1000/hour")
    return value


def _refuse_no_zone(value: str) -> str:
    if time_zone(value) is None:
        raise ValueError("must be a time zone of the IANA database, such as Europe/Berlin or UTC")
    return value


def _refuse_no_address(value: str) -> str:
    with suppress(ValueError):  # Of the port.
        if re.fullmatch(r"https?://[^\s/?#@:][^\s?#@]*", value) and urlsplit(value).port != 0:
            return value
    raise ValueError("must be an address such as https://panel.example.com, without @, ? and #")


def _is_local(info: ValidationInfo) -> bool:
    return info.data.get("ENVIRONMENT") == "local"


def _read_secret(path: str) -> str | ValueError:
    """Return what is wrong instead of raising it: that is for the validator of its setting."""
    file = TOP / path
    try:
        text = file.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        return ValueError(f"cannot be read from the file {file}: {reason}")
    return text or ValueError(f"cannot be read from the file {file}: it is empty")


WebAddress = Annotated[str, AfterValidator(_refuse_no_address)]
RateLimits = Annotated[str, AfterValidator(_refuse_no_rate)]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=TOP / ".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        validate_default=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    ENVIRONMENT: Literal["local", "staging", "production"] = "local"
    """`local`, `staging` or `production`; weak settings are refused except in `local`."""
    WEB_CONCURRENCY: int = Field(1, ge=1)
    """Server processes. Unset, with PostgreSQL and Redis: one per core, up to 4."""
    PROJECT_NAME: str = "Backdesk"
    """Shown in the documentation and in letters."""
    API_V1_STR: str = Field("/api/v1", pattern=r"^(/[A-Za-z0-9._~-]+)+$")
    """Where the API lives."""
    PUBLIC_URL: WebAddress = "http://127.0.0.1:8000"
    """Where people reach it."""
    PANEL_URL: WebAddress | None = None
    """The panel: where e-mails and pages send people. Unset: `/account/` of `PUBLIC_URL`."""
    ALLOWED_HOSTS: TextList = Field(
        [],
        description=(
            "Accepted `Host` headers, `*.example.com` for any below it. Empty: any in `local`,"
            " else that of `PUBLIC_URL`."
        ),
    )
    POSTGRES_PASSWORD: SecretStr | None = None
    """For a `DATABASE_URL` without a password. It needs no escaping."""
    DATABASE_URL: SecretStr = SecretStr("sqlite:///./data/backdesk.db")
    """SQLite or PostgreSQL. A relative file starts at the top of the repository."""
    DATABASE_DIRECT_URL: SecretStr | None = None
    """PostgreSQL past its pooler, for migrations. Unset: `DATABASE_URL`."""
    DB_POOL_SIZE: int = Field(6, ge=1, le=64)
    """Worker threads per process, each with a connection. Logins have a few of their own."""
    STAY_ON_ONE_CORE: bool = True
    """Whether each process is pinned to a core of its own (Linux)."""
    DB_POOL_TIMEOUT_SECONDS: float = Field(5, gt=0)
    """How long to wait for a free connection."""
    DB_CONNECT_TIMEOUT_SECONDS: int = Field(3, ge=1)
    """How long to wait for PostgreSQL to answer."""
    STATEMENT_TIMEOUT_SECONDS: float = Field(10, gt=0)
    """The database ends a longer statement."""
    SECRET_KEY: SecretStr = SecretStr("")
    """Signs tokens: 32 bytes or more. In `local`, a missing one is made up."""
    ALGORITHM: Literal["HS256", "HS384", "HS512"] = "HS256"
    """How tokens are signed: `HS256`, `HS384` or `HS512`."""
    SECRET_KEY_PREVIOUS: SecretStr | None = None
    """The key before this one: still read, no longer signed with."""
    ACCESS_TOKEN_EXPIRE_MINUTES: int = Field(15, ge=1, le=1440)
    """How long an access token lasts, 1 to 1440."""
    REFRESH_TOKEN_EXPIRE_DAYS: int = Field(7, ge=1, le=365)
    """How long a session lasts, however much it is used."""
    SESSION_IDLE_DAYS: int = Field(3, ge=1, le=365)
    """How long an unused session lasts."""
    OPEN_REGISTRATION: bool = False
    """Whether anyone may register."""
    ALLOWED_ORIGINS: TextList = Field(
        [], validation_alias=AliasChoices("ALLOWED_ORIGINS", "BACKEND_CORS_ORIGINS")
    )
    """Whose pages may call the API (CORS): a JSON array. Or `BACKEND_CORS_ORIGINS`."""
    FIRST_ADMIN_EMAIL: str | None = None
    """For `create-admin`; at set-up used only while no admin exists."""
    FIRST_ADMIN_PASSWORD: SecretStr | None = None
    """For `create-admin`; at set-up used only while no admin exists."""
    DEFAULT_TOKEN_QUOTA: int | None = Field(100_000, ge=0, le=2**53 - 1)
    """Monthly, for new users; `null` is unlimited."""
    DEFAULT_TIME_ZONE: Annotated[str, AfterValidator(_refuse_no_zone)] = "UTC"
    """The zone of days and of moments that name none, such as Europe/Berlin."""
    REDIS_URL: SecretStr | None = None
    """Shares rate limits and kept answers between processes: `redis://`, `rediss://`."""
    STATISTICS_CACHE_SECONDS: int = Field(60, ge=0, le=60)
    """How long figures are kept, 0 to 60; 0 counts each time anew."""
    RATE_LIMIT_ENABLED: bool = True
    """Whether there are rate limits at all."""
    RATE_LIMIT_ANONYMOUS: RateLimits = "60/minute;1000/hour"
    """Requests of one address without a login."""
    RATE_LIMIT_USER: RateLimits = "1200/minute"
    """Requests of one user."""
    RATE_LIMIT_LOGIN: RateLimits = "5/minute"
    """Password attempts on one e-mail or user name."""
    RATE_LIMIT_LOGIN_ADDRESS: RateLimits = "30/minute"
    """Logins of one address, which an office shares; and account letters and links."""
    RATE_LIMIT_REFRESH: RateLimits = "10/minute"
    """Refreshes of one session, and as many log-outs."""
    RATE_LIMIT_LETTERS: RateLimits = "5/hour"
    """Letters to one e-mail address that anyone may ask for."""
    RATE_LIMIT_EXPORT: RateLimits = "20/minute"
    """Exports of one user."""
    TRUSTED_PROXIES: TextList = []
    """Addresses or networks whose `X-Forwarded-For` is believed: a JSON array."""
    SMTP_HOST: str | None = None
    """Delivers letters. Without one they go to the log."""
    SMTP_PORT: int = Field(587, ge=1, le=65535)
    """The mail server's port."""
    SMTP_SECURITY: Literal["starttls", "tls", "none"] = "starttls"
    """How to reach it: `starttls`, `tls` or `none`."""
    SMTP_USER: str | None = None
    """Where the mail server wants a login."""
    SMTP_PASSWORD: SecretStr | None = None
    """Of that login."""
    SMTP_TIMEOUT_SECONDS: float = Field(10, gt=0)
    """How long to wait for the mail server; one letter may take twice as long."""
    EMAILS_FROM: str | None = None
    """The sender of letters: `Backdesk <backdesk@example.com>`."""
    JOBS_ENABLED: bool = True
    """Whether this process delivers letters and cleans up in the background."""
    AUDIT_RETENTION_DAYS: int = Field(400, ge=1)
    """How long audit events are kept."""
    REQUEST_TIMEOUT_SECONDS: float = Field(20, gt=0)
    """A request that takes longer, as with a frozen database, gets 503."""
    IMPORTS_AT_ONCE: int = Field(2, ge=1, le=16)
    """Imports per process, each with a thread; more wait in line. On SQLite one."""
    IMPORT_TIMEOUT_SECONDS: float = Field(300, gt=0)
    """How long an import may take, waiting in line included."""
    CLIENT_TIMEOUT_SECONDS: float = Field(20, gt=0)
    """How long a client may take to send a request."""
    SHUTDOWN_DELAY_SECONDS: float = Field(0, ge=0)
    """After SIGTERM, how long to serve on while `/health/ready` is 503."""
    EXPORTS_AT_ONCE: int = Field(3, ge=1, le=64)
    """Exports per process, each with a thread and a connection; more get 503."""
    EXPORT_TIMEOUT_SECONDS: float = Field(600, gt=0)
    """How long an export may take, the sending included."""
    EXPORT_XLSX_MAX_ROWS: int = Field(MAX_SHEET_ROWS, ge=1, le=MAX_SHEET_ROWS)
    """The most rows of an XLSX export; a sheet holds no more than the default."""
    MAX_REQUESTS_IN_FLIGHT: int = Field(1000, ge=1)
    """Per process, at work or waiting; more are answered 503 at once."""
    MAX_BODY_BYTES: int = Field(1024**2, ge=1024)
    """A larger request body is refused."""
    MAX_IMPORT_BYTES: int = Field(20 * 1024**2, ge=1024)
    """A larger import is refused."""
    MAX_PAGE_SIZE: int = Field(1000, ge=1, le=10_000)
    """The largest `limit` of a list."""
    MAX_EXACT_TOTAL: int = Field(10_000, ge=0)
    """How far a list counts; beyond, its total is an estimate."""
    MAX_UNINDEXED_SORT: int = Field(100_000, ge=0)
    """The most rows that a list or an export sorts by a field without an index."""
    DOCS_ENABLED: bool = True
    """Whether `/docs` and the OpenAPI document are served."""
    LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`."""
    LOG_FORMAT: Literal["auto", "text", "json"] = "auto"
    """`text`, `json`, or `auto`: text in a terminal, else JSON."""
    ACCESS_LOG: bool = False
    """Whether each request writes a line; failures always do."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let `NAME_FILE` name a file for each secret."""
        given: dict[str, Any] = {}
        for source in (dotenv_settings, env_settings):
            if isinstance(source, EnvSettingsSource):
                given |= source.env_vars
        files = {
            name: ValueError(f"is set twice: remove {name} or {name}_FILE")
            if name.lower() in given
            else _read_secret(path)
            for name, field in settings_cls.model_fields.items()
            if SecretStr in {field.annotation, *get_args(field.annotation)}
            and (path := given.get(f"{name}_FILE".lower()))
        }
        from_files = InitSettingsSource(settings_cls, files)
        return init_settings, from_files, env_settings, dotenv_settings, file_secret_settings

    @field_validator("*", mode="before")
    @classmethod
    def refuse_unread_secret(cls, value: Any) -> Any:
        if isinstance(value, ValueError):
            raise value
        return value

    @property
    def account_url(self) -> str:
        return f"{self.PUBLIC_URL.rstrip('/')}/account"

    @property
    def panel_url(self) -> str:
        return self.PANEL_URL or f"{self.account_url}/"

    @property
    def database_url(self) -> URL:
        return make_url(self.DATABASE_URL.get_secret_value())

    @property
    def migration_url(self) -> URL:
        return make_url((self.DATABASE_DIRECT_URL or self.DATABASE_URL).get_secret_value())

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.get_backend_name() == "sqlite"

    @field_validator("ALLOWED_HOSTS", "ALLOWED_ORIGINS", "TRUSTED_PROXIES", mode="before")
    @classmethod
    def read_list(cls, value: Any) -> Any:
        """Take a JSON array, or names with commas between."""
        if not isinstance(value, str):
            return value
        return [part.strip(" \"'") for part in value.strip("[] ").split(",") if part.strip(" \"'")]

    @field_validator("DEFAULT_TOKEN_QUOTA", mode="before")
    @classmethod
    def read_null(cls, value: Any) -> Any:
        return None if isinstance(value, str) and value.strip().lower() == "null" else value

    @field_validator("DATABASE_URL", "DATABASE_DIRECT_URL")
    @classmethod
    def normalise_database_url(
        cls, value: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        if value is None:
            return None
        try:
            url = make_url(value.get_secret_value())
        except (ArgumentError, ValueError):
            text = "is no database URL such as postgresql://user:password@host/name"
            raise ValueError(text) from None
        if url.drivername.partition("+")[2] in ASYNC_DRIVERS:
            raise ValueError("names an asynchronous driver; use a synchronous one: postgresql://…")
        if url.drivername in {"postgres", "postgresql"}:
            url = url.set(drivername="postgresql+psycopg2")
        if url.drivername not in {"postgresql+psycopg2", "sqlite"}:
            raise ValueError("must be a sqlite:///… or a postgresql://… URL")
        password = info.data.get("POSTGRES_PASSWORD")
        if password and url.drivername != "sqlite" and url.password is None:
            url = url.set(password=password.get_secret_value())
        if url.drivername == "sqlite":
            url = url.set(database=str(_sqlite_file(url)))
            if not _is_local(info) and info.data.get("WEB_CONCURRENCY", 1) > 1:
                raise ValueError("SQLite serves one process; use PostgreSQL, or one worker")
        return SecretStr(url.render_as_string(hide_password=False))

    @field_validator("SECRET_KEY")
    @classmethod
    def refuse_weak_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        key = value.get_secret_value()
        if _is_local(info):
            if not key and info.data.get("WEB_CONCURRENCY", 1) > 1:
                raise ValueError("is missing, and several workers must share one")
            return value if key else SecretStr(secrets.token_urlsafe(48))
        if not key:
            command = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
            raise ValueError(f"is missing: {command}")
        _refuse_guessable(key)
        return value

    @field_validator("ALLOWED_ORIGINS", "ALLOWED_HOSTS")
    @classmethod
    def refuse_wildcard(cls, value: list[str], info: ValidationInfo) -> list[str]:
        if "*" in value and not _is_local(info):
            raise ValueError("must not hold * outside `local`")
        return value

    @field_validator("ALLOWED_ORIGINS")
    @classmethod
    def refuse_no_origin(cls, value: list[str]) -> list[str]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"https?://[^/*\s]+", origin):
                raise ValueError("must be origins such as https://panel.example.com, with no path")
        return value

    @field_validator("ALLOWED_HOSTS")
    @classmethod
    def refuse_unknown_host(cls, value: list[str], info: ValidationInfo) -> list[str]:
        public_host = urlsplit(info.data.get("PUBLIC_URL", "")).hostname
        if not _is_local(info) and not value and public_host in {"127.0.0.1", "localhost"}:
            raise ValueError("is empty, and PUBLIC_URL leads to this machine alone")
        if not all(re.fullmatch(_HOST, host) for host in value):
            raise ValueError("must be hosts without a port: panel.example.com, *.example.com, ::1")
        return [host.strip("[]") for host in value]

    @field_validator("SECRET_KEY_PREVIOUS")
    @classmethod
    def refuse_weak_previous_key(
        cls, value: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        """What it has signed is still believed: it must be no weaker than the present one."""
        if value is not None and value == info.data.get("SECRET_KEY"):
            raise ValueError("is the present SECRET_KEY: it is for the one before")
        if value is not None and not _is_local(info):
            _refuse_guessable(value.get_secret_value())
        return value

    @field_validator("REDIS_URL")
    @classmethod
    def refuse_no_redis(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            url = urlsplit(value.get_secret_value() if value is not None else "redis://")
            is_redis = url.scheme in {"redis", "rediss", "unix"} and url.port != 0
        except ValueError:  # The port.
            is_redis = False
        if not is_redis:
            raise ValueError("must be a URL such as redis://host:6379/0")
        return value

    @field_validator("TRUSTED_PROXIES")
    @classmethod
    def refuse_no_network(cls, value: list[str], info: ValidationInfo) -> list[str]:
        try:
            share = sum(0.5 ** ip_network(network).prefixlen for network in set(value))
        except ValueError:
            text = "must hold addresses or networks such as 10.0.0.0/8, not names or *"
            raise ValueError(text) from None
        if share >= MAX_TRUSTED_SHARE and not _is_local(info):
            raise ValueError("covers too many addresses: anyone could choose their own")
        return value

    @field_validator("SMTP_USER")
    @classmethod
    def refuse_open_login(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("SMTP_SECURITY") == "none" and not _is_local(info):
            raise ValueError("would send its password unencrypted: SMTP_SECURITY is none")
        return value

    @field_validator("EMAILS_FROM")
    @classmethod
    def refuse_no_sender(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("SMTP_HOST"):
            raise ValueError("is missing: SMTP_HOST is set, and letters need a sender")
        if value is not None and not re.fullmatch(r"[!-~]+@[!-~]+", parseaddr(value)[1]):
            raise ValueError("is no address such as Backdesk <backdesk@example.com>")
        return value

    @field_validator("API_V1_STR")
    @classmethod
    def refuse_taken_path(cls, value: str) -> str:
        if value in {"/health", "/docs", "/account"}:
            raise ValueError("is taken by another part of the application")
        return value

    @field_validator("FIRST_ADMIN_PASSWORD")
    @classmethod
    def refuse_example_password(
        cls, value: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        is_example = value is not None and value.get_secret_value() == EXAMPLE_ADMIN_PASSWORD
        if is_example and not _is_local(info):
            raise ValueError("is the one from the example; choose another")
        return value


def _refuse_guessable(key: str) -> None:
    if len(key.encode()) < MIN_KEY_BYTES:
        raise ValueError(f"is shorter than {MIN_KEY_BYTES} bytes")
    lowered = key.lower()
    joined = re.sub("[-_. ]", "", lowered)  # So that repeated words are seen as such.
    guesses = zxcvbn(joined[:72])["guesses_log10"] if joined else 0  # It takes no more.
    if guesses < MIN_KEY_GUESSES or PLACEHOLDER.search(lowered):
        raise ValueError("is a placeholder or a pattern, not a random key")


def _sqlite_file(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise ValueError("needs a file: several threads share the database")
    return TOP / url.database


@lru_cache
def get_settings() -> Settings:
    return Settings()
