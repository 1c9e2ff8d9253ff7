"""A command whose standard error is a terminal."""

import contextlib
import os
import pty
import subprocess
from collections.abc import Sequence

from tests.server import BACKEND


def written_to_terminal(command: Sequence[str], **environment: str) -> str:
    """Run a command that must succeed, and return what the terminal was sent."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command,
        cwd=BACKEND,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # So a terminal says that the other side is gone.
            while part := os.read(ours, 4096):
                written += part
    os.close(ours)
    assert process.returncode == 0, written
    return written.decode()
