"""A mail server of the test's own, which keeps what it is sent and refuses what it is told to."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.server import free_port

SENDER = "Backdesk <backdesk@example.com>"
WAIT_SECONDS = 60
LOGIN = ("backdesk", "wallpaper-on-tuesday")

logging.getLogger("mail").setLevel(logging.ERROR)  # It tells of every command.


@dataclass(frozen=True)
class Received:
    """A letter as it came, and what the envelope said."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    is_encrypted: bool

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        assert part is not None
        return str(part.get_content())


@dataclass
class Catcher:
    port: int
    letters: list[Received] = field(default_factory=list)
    recipient_answers: dict[str, str] = field(default_factory=dict)  # For each, what it is told.
    sender_answer: str = "250 OK"
    data_answer: str = "250 OK"
    hangs_up: bool = False  # After each letter.
    hung_up: threading.Event = field(default_factory=threading.Event)
    sessions: set[int] = field(default_factory=set)
    seconds_for_each: float = 0.0
    at_once: int = 1  # So many connections must be there before the first goes on.
    all_there: threading.Event = field(default_factory=threading.Event)
    on_letter: Callable[[], None] = lambda: None
    holds: str | None = None  # The command that is not answered before `let_go`.
    held: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    @property
    def settings(self) -> dict[str, str]:
        return {
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.port),
            "SMTP_SECURITY": "none",
            "SMTP_TIMEOUT_SECONDS": "10",
            "EMAILS_FROM": SENDER,
        }

    def recipients(self) -> list[str]:
        return sorted(letter.recipients[0] for letter in self.letters)

    # --- What aiosmtpd calls.

    async def handle_MAIL(  # noqa: N802  aiosmtpd's name.
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        envelope.mail_from = address
        return self.sender_answer

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name.
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        self.sessions.add(id(session))
        if len(self.sessions) >= self.at_once:
            self.all_there.set()
        await asyncio.to_thread(self.all_there.wait, WAIT_SECONDS)
        await self._hold("RCPT")
        envelope.rcpt_tos.append(address)
        return self.recipient_answers.get(address, "250 OK")

    async def handle_DATA(  # noqa: N802  aiosmtpd's name.
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        if self.hangs_up:
            asyncio.get_running_loop().call_later(0.1, self._hang_up, server)
        if self.data_answer.startswith("250"):
            self.letters.append(_received(server, envelope))
        self.on_letter()
        await asyncio.sleep(self.seconds_for_each)
        await self._hold("DATA")
        return self.data_answer

    def _hang_up(self, server: SMTP) -> None:
        _transport(server).close()
        self.hung_up.set()

    async def _hold(self, command: str) -> None:
        if self.holds == command:
            self.held.set()
            await asyncio.to_thread(self.let_go.wait, WAIT_SECONDS)


def _transport(server: SMTP) -> asyncio.BaseTransport:
    assert server.transport is not None
    return server.transport


def _received(server: SMTP, envelope: Envelope) -> Received:
    message = message_from_bytes(envelope.original_content or b"", policy=default)
    assert isinstance(message, EmailMessage)
    return Received(
        sender=envelope.mail_from or "",
        recipients=list(envelope.rcpt_tos),
        message=message,
        is_encrypted=_transport(server).get_extra_info("ssl_object") is not None,
    )


@contextmanager
def running_catcher(*, port: int | None = None, **options: Any) -> Iterator[Catcher]:
    """Catch letters until the block ends; the options are aiosmtpd's."""
    catcher = Catcher(port=port or free_port())
    controller = Controller(catcher, hostname="127.0.0.1", port=catcher.port, **options)
    controller.start()
    try:
        yield catcher
    finally:
        catcher.let_go.set()
        catcher.all_there.set()
        controller.stop()


def knows_login(
    _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any
) -> AuthResult:
    name, password = LOGIN
    is_right = given == LoginPassword(name.encode(), password.encode())
    return AuthResult(success=is_right, handled=False)


@contextmanager
def silent_server() -> Iterator[int]:
    """A port where connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@dataclass
class Dripping:
    port: int
    has_dripped: threading.Event = field(default_factory=threading.Event)
    hung_up: threading.Event = field(default_factory=threading.Event)


# What a server says to each command; "" is the greeting, "." ends a letter.
SAID = dict.fromkeys(("EHLO", "MAIL", "RCPT", ".", "NOOP"), b"250 OK\r\n") | {
    "": b"220 mail\r\n",
    "DATA": b"354 Go on\r\n",
    "QUIT": b"221 Bye\r\n",
}


@contextmanager
def dripping_server(command: str, piece: bytes) -> Iterator[Dripping]:
    """A mail server whose answer to one command comes bit by bit, and never to its end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = Dripping(int(server.getsockname()[1]))
        thread = threading.Thread(target=_drip, args=(server, told, command, piece), daemon=True)
        thread.start()
        yield told
    thread.join(WAIT_SECONDS)


def _drip(server: socket.socket, told: Dripping, command: str, piece: bytes) -> None:
    client, _ = server.accept()
    with client, client.makefile("rb") as lines:
        said, in_letter = "", False
        while said != command:
            client.sendall(SAID[said])
            in_letter = said == "DATA"
            line = lines.readline()
            while in_letter and line != b".\r\n":
                line = lines.readline()
            said = line.decode().split()[0].upper()
        try:
            while True:
                client.sendall(piece)
                told.has_dripped.set()
                time.sleep(0.05)
        except OSError:
            told.hung_up.set()
