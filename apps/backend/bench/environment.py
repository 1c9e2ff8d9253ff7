"""The peers' own Python, made from their lock."""

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from bench.places import LOCK, PEERS

PYTHON: Final = PEERS / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
STAMP: Final = PEERS / "lock.sha256"


def peers_python() -> Path:
    """Return it, made anew where the lock has changed since."""
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not STAMP.exists() or STAMP.read_text() != wanted:
        print(f"Installing the peers into {PEERS} ...", file=sys.stderr, flush=True)
        uv = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
        venv.create(PEERS, clear=True, with_pip=uv is None)
        options = ["--quiet", "--require-hashes", f"--requirement={LOCK}"]
        by_uv = [str(uv), "pip", "install", "--python", str(PYTHON), *options]
        by_pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", *options]
        subprocess.run(by_uv if uv else by_pip, check=True)
        STAMP.write_text(wanted)
    return PYTHON
