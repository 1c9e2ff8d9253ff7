"""The way to the mail server, or to the log where there is none. The one module that knows SMTP."""

import io
import re
import smtplib
import socket
import ssl
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any, Final, Self
from urllib.parse import urlsplit

import structlog

from app.core.clock import utc_now
from app.core.config import get_settings

SERVER_CLOSES: Final = 421
LONGEST_ANSWER: Final = 200
# What is wrong on the way to the server, and what to do; the first that fits holds.
_ADVICE: Final[tuple[tuple[type[Exception], str], ...]] = (
    (socket.gaierror, "is not known; is SMTP_HOST right?"),
    (ConnectionRefusedError, "does not listen; are SMTP_HOST and SMTP_PORT right?"),
    (smtplib.SMTPAuthenticationError, "refuses SMTP_USER with SMTP_PASSWORD"),
    (smtplib.SMTPNotSupportedError, "takes no login; leave SMTP_USER empty, or use TLS"),
    (ssl.SSLCertVerificationError, "has no certificate that holds for SMTP_HOST: {}"),
    (ssl.SSLError, "speaks no TLS at first; set SMTP_SECURITY to `starttls`, or another SMTP_PORT"),
    (smtplib.SMTPServerDisconnected, "hangs up, or does not answer; is SMTP_SECURITY right?"),
    (smtplib.SMTPResponseException, "refuses: {}"),
    (TimeoutError, "does not answer; is there a firewall between?"),
)

log = structlog.get_logger("backdesk.mailer")


class MailServerError(Exception):
    """The server cannot be used right now: any other letter would fare no better."""


class NotNowError(Exception):
    """The server takes this letter later, perhaps."""


class NeverError(Exception):
    """Nobody takes this letter, however often it is sent."""


@dataclass(frozen=True, slots=True)
class Letter:
    key: str  # The same for each sending of one letter: whoever gets two can tell.
    recipient: str
    subject: str
    text: str
    html: str


class Mailer:
    """Sends letters over one connection, which the first of them opens."""

    def __init__(self) -> None:
        self._smtp: _Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._smtp.quit()
        self._close()

    def send(self, letter: Letter) -> None:
        """Raises MailServerError, NotNowError, NeverError.

        Outside `local` a log is no place for a link that opens an account.
        """
        message, settings = _message(letter), get_settings()
        if settings.SMTP_HOST is None:
            if settings.ENVIRONMENT != "local":
                raise NeverError("SMTP_HOST is not set, so that no letter leaves")
            _show(letter)
            return
        try:
            smtp = self._ready()
            smtp.send_message(message)
            smtp.ends_at = None
        except (smtplib.SMTPException, OSError) as error:
            if not isinstance(error, smtplib.SMTPRecipientsRefused):
                self._close()
            raise _failure(error) from None  # The cause may quote the letter.

    def _ready(self) -> "_Connection":
        """A server may end a connection after so many letters."""
        if self._smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                if self._smtp.noop()[0] == 250:
                    return self._smtp
            self._close()
        self._smtp = _connect()
        return self._smtp

    def _close(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        self._smtp = None


def _show(letter: Letter) -> None:
    """Take the mail server's place: a text in a terminal, elsewhere a line with the link."""
    if sys.stderr.isatty() and get_settings().LOG_FORMAT != "json":
        head = f"E-mail (SMTP_HOST is not set)\nTo: {letter.recipient}\nSubject: {letter.subject}"
        sys.stderr.write(f"\n{head}\n\n{letter.text}\n\n")
    else:
        link = re.search(r"^https?://\S+$", letter.text, re.MULTILINE)
        log.info("letter", to=letter.recipient, subject=letter.subject, link=link and link[0])


def try_mail_server() -> None:
    """Go as far as one can without a letter. Raises MailServerError, which says what to do."""
    try:
        with _connect() as smtp:
            smtp.noop()
    except (smtplib.SMTPException, OSError) as error:
        raise MailServerError(_explain(error)) from error


class _Connection(smtplib.SMTP):
    """Its time-out is for each piece that arrives; a letter's answers have twice that in all."""

    ends_at: float | None = None

    def getreply(self) -> tuple[int, bytes]:
        self.ends_at = self.ends_at or time.monotonic() + 2 * get_settings().SMTP_TIMEOUT_SECONDS
        self.file = self.file or _Replies(self)
        return super().getreply()


class _TlsConnection(_Connection, smtplib.SMTP_SSL):
    """Over TLS from the start."""


class _Replies(io.RawIOBase):
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def readinto(self, buffer: Any) -> int:
        seconds = self._connection.ends_at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        self._connection.sock.settimeout(min(seconds, get_settings().SMTP_TIMEOUT_SECONDS))
        return int(self._connection.sock.recv_into(buffer))


def _connect() -> _Connection:
    settings = get_settings()
    options: dict[str, Any] = {
        "host": settings.SMTP_HOST,
        "port": settings.SMTP_PORT,
        "timeout": settings.SMTP_TIMEOUT_SECONDS,
        "local_hostname": _sender().domain,  # Else it is looked up, which may take long.
    }
    context = ssl.create_default_context()
    if settings.SMTP_SECURITY == "tls":
        smtp: _Connection = _TlsConnection(**options, context=context)
    else:
        smtp = _Connection(**options)
    try:
        if settings.SMTP_SECURITY == "starttls":
            smtp.starttls(context=context)
        if settings.SMTP_USER:
            password = settings.SMTP_PASSWORD
            smtp.login(settings.SMTP_USER, password.get_secret_value() if password else "")
    except BaseException:
        smtp.close()
        raise
    return smtp


def _sender() -> Address:
    settings = get_settings()
    name, address = parseaddr(settings.EMAILS_FROM or "")
    if not address:  # Only for the log: SMTP_HOST demands a sender.
        address = f"nobody@{urlsplit(settings.PUBLIC_URL).hostname}"
    return Address(name or settings.PROJECT_NAME, addr_spec=address)


def _message(letter: Letter) -> EmailMessage:
    """Raises NeverError."""
    sender = _sender()
    message = EmailMessage(policy=SMTP)
    message["To"] = _recipient(letter.recipient)
    message["From"] = sender
    message["Subject"] = " ".join(letter.subject.split())
    message["Date"] = format_datetime(utc_now())
    message["Message-ID"] = f"<{letter.key}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # So that nobody's machine answers (RFC 3834).
    message.set_content(letter.text, cte="quoted-printable")
    message.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    return message


def _recipient(text: str) -> Address:
    """Raises NeverError for what is not one address, or one that not every server takes."""
    try:
        address = Address(addr_spec=text)
    except (ValueError, IndexError, HeaderParseError):  # The parser's ways to say no.
        raise NeverError("this is no e-mail address") from None
    if not text.isascii():
        raise NeverError("the e-mail address holds letters beyond ASCII")
    return address


def _failure(error: Exception) -> Exception:
    """Tell whether to blame the server, the moment or the letter."""
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=recipients):
            ((code, words),) = recipients.values()
            text = f"the recipient is refused: {code} {_printable(words)}"
        case smtplib.SMTPSenderRefused(smtp_code=code, smtp_error=words):
            return MailServerError(f"the sender is refused: {code} {_printable(words)}")
        case smtplib.SMTPDataError(smtp_code=code, smtp_error=words):
            # Its words may quote what they refuse; the enhanced code (RFC 3463) does not.
            found = re.match(r"[245]\.\d{1,3}\.\d{1,3}(?!\S)", _printable(words))
            text = f"the letter is refused: {code} {found[0] if found else ''}"
        case _:
            return MailServerError(_explain(error))
    if code == SERVER_CLOSES:
        return MailServerError(text)
    return NeverError(text) if code >= 500 else NotNowError(text)


def _explain(error: Exception) -> str:
    """Say what is wrong on the way to the server, and what to do."""
    settings = get_settings()
    words = getattr(error, "smtp_error", None) or str(error)
    fitting = (text for kind, text in _ADVICE if isinstance(error, kind))
    text = next(fitting, "cannot be reached: {}")
    if isinstance(error, smtplib.SMTPNotSupportedError) and "STARTTLS" in str(error):
        text = "offers no STARTTLS; set SMTP_SECURITY to `tls` or `none`"
    return f"{settings.SMTP_HOST}:{settings.SMTP_PORT} {text.format(_printable(words))}"


def _printable(words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST_ANSWER]
