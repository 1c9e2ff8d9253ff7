"""The way to the mail server: encrypted, signed in, or named when it is wrong."""

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from app.core.mailer import Letter, Mailer, MailServerError, NeverError, try_mail_server
from tests.absent import program
from tests.server import free_port
from tests.services.smtp import (
    LOGIN,
    Catcher,
    dripping_server,
    knows_login,
    running_catcher,
    silent_server,
)
from tests.settings import changed_settings

LETTER = Letter(
    "7.abc", "ann@example.com", "Grüße\r\nBcc: eve@example.com", "Schön.\n", "<p>Schön."
)
Certificate = tuple[Path, Path]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate that holds for 127.0.0.1, and its key."""
    openssl = program("openssl")
    folder = tmp_path_factory.mktemp("certificate")
    chain, key = folder / "chain.pem", folder / "key.pem"
    subject = ["-subj", "/CN=mail", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        [openssl, "req", "-x509", *kind, *subject, "-out", chain, "-keyout", key],
        check=True,
        capture_output=True,
    )
    return chain, key


def context_of(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@contextmanager
def tls_from_the_start(certificate: Certificate) -> Iterator[Catcher]:
    with running_catcher(ssl_context=context_of(certificate)) as catcher:
        yield catcher


@contextmanager
def starttls_and_login(certificate: Certificate) -> Iterator[Catcher]:
    context = context_of(certificate)
    with running_catcher(
        tls_context=context, require_starttls=True, authenticator=knows_login, auth_required=True
    ) as catcher:
        yield catcher


def send(letter: Letter = LETTER) -> None:
    with Mailer() as mailer:
        mailer.send(letter)


def test_letter_has_one_line_for_each_header() -> None:
    with running_catcher() as mail, changed_settings(**mail.settings):
        send()

    (received,) = mail.letters
    assert received.message["Subject"] == "Grüße Bcc: eve@example.com"
    assert received.message["Bcc"] is None
    assert received.message["Message-ID"] == "<7.abc@example.com>"
    assert (received.text, received.html) == ("Schön.\r\n", "<p>Schön.\r\n")


def test_letter_from_a_project_with_any_name_names_it() -> None:
    sender = {"EMAILS_FROM": "desk@example.com", "PROJECT_NAME": 'Müller, "Söhne" & Co.'}
    with running_catcher() as mail, changed_settings(**mail.settings | sender):
        send()

    (address,) = mail.letters[0].message["From"].addresses
    assert (address.display_name, address.addr_spec) == (
        'Müller, "Söhne" & Co.',
        "desk@example.com",
    )


def test_letter_goes_over_tls_from_the_start(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with (
        tls_from_the_start(certificate) as mail,
        changed_settings(**mail.settings | {"SMTP_SECURITY": "tls"}),
    ):
        send()

    assert mail.letters[0].is_encrypted


def test_letter_goes_over_starttls_after_a_login(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    user, password = LOGIN
    login = {"SMTP_SECURITY": "starttls", "SMTP_USER": user, "SMTP_PASSWORD": password}
    with starttls_and_login(certificate) as mail, changed_settings(**mail.settings | login):
        send()
        try_mail_server()

    assert mail.letters[0].is_encrypted


def test_letter_is_not_sent_to_a_server_whose_certificate_nobody_vouches_for(
    certificate: Certificate,
) -> None:
    with (
        starttls_and_login(certificate) as mail,
        changed_settings(**mail.settings | {"SMTP_SECURITY": "starttls"}),
        pytest.raises(MailServerError, match="no certificate that holds"),
    ):
        send()

    assert mail.letters == []


def test_letter_is_not_sent_in_the_clear_where_starttls_is_asked_for() -> None:
    with (
        running_catcher() as mail,
        changed_settings(**mail.settings | {"SMTP_SECURITY": "starttls"}),
        pytest.raises(MailServerError, match="offers no STARTTLS"),
    ):
        send()

    assert mail.letters == []


def test_wrong_password_is_named_without_its_value(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    login = {"SMTP_SECURITY": "starttls", "SMTP_USER": LOGIN[0], "SMTP_PASSWORD": "hunter2"}
    with (
        starttls_and_login(certificate) as mail,
        changed_settings(**mail.settings | login),
        pytest.raises(MailServerError, match="refuses SMTP_USER") as refused,
    ):
        try_mail_server()

    assert "hunter2" not in str(refused.value)


def test_login_that_is_not_offered_is_named() -> None:
    login = {"SMTP_USER": LOGIN[0], "SMTP_PASSWORD": LOGIN[1]}
    with (
        running_catcher() as mail,
        changed_settings(**mail.settings | login),
        pytest.raises(MailServerError, match="takes no login"),
    ):
        try_mail_server()


@contextmanager
def nobody_there() -> Iterator[int]:
    yield free_port()


@contextmanager
def plain_server() -> Iterator[int]:
    with running_catcher() as mail:
        yield mail.port


@pytest.mark.parametrize(
    ("server", "settings", "cause"),
    [
        (nobody_there, {}, "does not listen"),
        (nobody_there, {"SMTP_HOST": "no-such-host.invalid"}, "is not known"),
        (silent_server, {}, "does not answer"),
        (silent_server, {"SMTP_SECURITY": "tls"}, "does not answer"),
        (plain_server, {"SMTP_SECURITY": "tls"}, "speaks no TLS at first"),
    ],
)
def test_way_that_leads_nowhere_is_named(
    server: Callable[[], AbstractContextManager[int]], settings: dict[str, str], cause: str
) -> None:
    with server() as port:
        chosen = Catcher(port).settings | {"SMTP_TIMEOUT_SECONDS": "0.5"} | settings
        with changed_settings(**chosen), pytest.raises(MailServerError, match=cause):
            try_mail_server()


def test_server_that_hangs_up_between_letters_gets_the_next_on_a_new_connection() -> None:
    with running_catcher() as mail, changed_settings(**mail.settings), Mailer() as mailer:
        mail.hangs_up = True
        mailer.send(LETTER)
        assert mail.hung_up.wait(timeout=60)
        mailer.send(LETTER)

    assert len(mail.letters) == 2


def test_sender_that_is_refused_is_the_servers_fault_not_the_letters() -> None:
    with running_catcher() as mail, changed_settings(**mail.settings):
        mail.sender_answer = "550 5.7.1 Not you"
        with pytest.raises(MailServerError, match=r"the sender is refused: 550 5\.7\.1 Not you"):
            send()


def test_server_that_closes_is_left_alone_for_all_letters() -> None:
    with running_catcher() as mail, changed_settings(**mail.settings):
        mail.recipient_answers["ann@example.com"] = "421 4.3.2 Closing"
        with pytest.raises(MailServerError, match="421"):
            send()


def test_letter_to_no_address_is_refused_for_good() -> None:
    with running_catcher() as mail, changed_settings(**mail.settings), pytest.raises(NeverError):
        send(Letter("7.abc", "ann@example.com\nBcc: eve@example.com", "Hello", "Hello", "Hello"))

    assert mail.letters == []


@pytest.mark.parametrize("piece", [b"2", b"250-and so on\r\n"])
@pytest.mark.parametrize("command", ["", "EHLO", "MAIL", "RCPT", "DATA", "."])
def test_server_that_drips_is_left_after_a_while(command: str, piece: bytes) -> None:
    """Each bit comes well within the time-out of one read."""
    with dripping_server(command, piece) as server:
        chosen = Catcher(server.port).settings | {"SMTP_TIMEOUT_SECONDS": "0.4"}
        with changed_settings(**chosen), pytest.raises(MailServerError, match="does not answer"):
            send()
        assert server.has_dripped.is_set()
        assert server.hung_up.wait(timeout=60)


def test_server_that_drips_at_the_end_has_taken_the_letter() -> None:
    with dripping_server("QUIT", b"2") as server:
        chosen = Catcher(server.port).settings | {"SMTP_TIMEOUT_SECONDS": "0.4"}
        with changed_settings(**chosen):
            send()
        assert server.has_dripped.is_set()
        assert server.hung_up.wait(timeout=60)


def test_server_that_drips_is_named_before_any_letter() -> None:
    with dripping_server("NOOP", b"2") as server:
        chosen = Catcher(server.port).settings | {"SMTP_TIMEOUT_SECONDS": "0.4"}
        with changed_settings(**chosen), pytest.raises(MailServerError, match="does not answer"):
            try_mail_server()


def test_time_for_each_letter_is_its_own() -> None:
    with running_catcher() as mail:
        mail.seconds_for_each = 0.3
        chosen = mail.settings | {"SMTP_TIMEOUT_SECONDS": "0.6"}
        with changed_settings(**chosen), Mailer() as mailer:
            for _ in range(6):
                mailer.send(LETTER)

    assert len(mail.letters) == 6
