"""A command at a terminal, and a person who types."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from select import select
from typing import Final

from tests.server import BACKEND

WAIT_SECONDS: Final = 60
# Password prompts open the terminal that the process belongs to.
TAKE_TERMINAL: Final = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, '-m', 'app.cli', *sys.argv[1:]])"
)


@dataclass
class Terminal:
    process: subprocess.Popen[bytes]
    descriptor: int
    shown: str = ""

    def wait_for(self, text: str) -> str:
        """Return what is shown up to the text, and forget it."""
        deadline = time.monotonic() + WAIT_SECONDS
        while text not in self.shown:
            assert self._read(deadline - time.monotonic()), self.shown
        before, self.shown = self.shown.split(text, 1)
        return before

    def answer(self, prompt: str, text: str) -> str:
        """Type once the prompt is there, and return what is shown before it."""
        before = self.wait_for(prompt)
        os.write(self.descriptor, f"{text}\n".encode())
        return before

    def end(self) -> int:
        """Wait for the end, and keep what is shown until then."""
        while self._read(WAIT_SECONDS):
            pass
        return self.process.wait(timeout=WAIT_SECONDS)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select([self.descriptor], [], [], max(0, seconds))
        try:
            text = os.read(self.descriptor, 4096) if ready else b""
        except OSError:  # The other side has gone.
            text = b""
        self.shown += text.decode().replace("\r\n", "\n")
        return text != b""


@contextmanager
def run_at_terminal(*arguments: str, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Start a command with a terminal of its own, and end it where it goes on."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *arguments],
        cwd=BACKEND,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.terminate()
        process.wait(timeout=WAIT_SECONDS)
        os.close(ours)
