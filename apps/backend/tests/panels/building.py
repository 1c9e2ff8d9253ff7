"""The panels of the how-tos, built from the code that the pages show, and served."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.absent import program
from tests.packages import npm_packages
from tests.project.markdown import code_blocks, read
from tests.project.test_how_to import file_of

HERE: Final = Path(__file__).parent
# What `npm create vite` makes.
MADE_BY_VITE: Final = {"index.html": ".", "vite.config.js": ".", "main.jsx": "src"}
LANGUAGES: Final = {"js", "jsx"}


def write_sources(folder: Path, *pages: str) -> None:
    """Write each file that a page shows."""
    (folder / "src").mkdir(parents=True)
    for name, place in MADE_BY_VITE.items():
        shutil.copy(HERE / name, folder / place)
    for page in pages:
        for block in code_blocks(read(f"how-to/{page}")):
            if block.language in LANGUAGES:
                (folder / file_of(block)).write_text(block.text, encoding="utf-8")


def build(folder: Path, *, api_url: str) -> Path:
    """Return the folder of the built panel, and of an empty page."""
    (folder / "node_modules").symlink_to(
        npm_packages(HERE, name="panels"), target_is_directory=True
    )
    run = subprocess.run(
        [program("node"), "node_modules/vite/bin/vite.js", "build"],
        cwd=folder,
        env=os.environ | {"VITE_API_URL": api_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    (folder / "dist/empty.html").touch()
    return folder / "dist"


@dataclass
class StaticServer:
    """Serves a folder, and `index.html` for the addresses that the panel makes up."""

    server: ThreadingHTTPServer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def serve(self, folder: Path) -> None:
        self.server.RequestHandlerClass = partial(_Handler, directory=str(folder))


class _Handler(SimpleHTTPRequestHandler):
    def send_head(self) -> Any:
        if not Path(self.translate_path(self.path)).is_file():
            self.path = "/index.html"
        return super().send_head()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def static_server() -> Iterator[StaticServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield StaticServer(server)
        server.shutdown()
        thread.join()
