"""The commands of `manage.py`. Needs nothing but Python 3.11.

Makes `.venv` from the lock files, then hands over to `python -m app.cli` in this folder.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
import sysconfig
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen, call
from typing import NoReturn
from urllib.request import urlopen

if sys.platform != "win32":
    import fcntl

BACKEND = Path(__file__).resolve().parent
TOP = BACKEND.parents[1]
ENV_FILE = TOP / ".env"
VENV, OLD_VENV = TOP / ".venv", TOP / ".venv.old"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
SBOM = TOP / "build" / "sbom.json"
STAMP = Path(sysconfig.get_path("purelib", "venv", {"base": str(VENV)}), "backdesk.json")

APP, IMAGE = "requirements.txt", "requirements/run.txt"
TOOLS, PEERS = "requirements/dev.txt", "requirements/peers.txt"
SOURCES = {
    APP: "requirements/test.in",
    IMAGE: "requirements/run.in --constraint requirements.txt",
    TOOLS: "requirements/dev.in",
    PEERS: "requirements/peers.in",
    "requirements/clients.txt": "requirements/clients.in",
}
ENV = {"UV_NATIVE_TLS": "1", **os.environ, "PIP_USER": "0", "PYTHONUNBUFFERED": "1"}
LINTERS = (
    "ruff format --check --config pyproject.toml . ../../manage.py",
    "ruff check --config pyproject.toml . ../../manage.py",
    "mypy",
    "lint-imports",
)
CAUSES = {
    r"ensurepip|No module named '?venv": "Python's venv module is missing; "
    "on Debian or Ubuntu: sudo apt install python3-venv",
    r"Permission denied|Read-only file system": f"{VENV} cannot be written to.",
    r"onnection|Timeout|ProxyError|SSLError|certificate|dns error|client error|name resolution": (
        "the package index cannot be reached; check the network, or set pip's proxy or mirror."
    ),
}
NOT_RUN = 3  # The exit code of an audit that could not ask.
MODULES = {"test": ["pytest"], "bench": ["bench"]}
SECRET_KEY = re.compile(rb"""(?im)^\s*(export\s+)?SECRET_KEY(_FILE)?[ \t]*=[ \t]*["']?[^\s"'#]""")
USAGE = """\
Usage: manage.py COMMAND [OPTIONS]

Set up and serve
  run             Set up, migrate, create the first admin, serve. --seed adds demo data.
  serve           Serve the API.
  check           Tell what is wrong with settings, database, Redis and mail server.

Database
  migrate         Bring the schema to this release's version. --check only compares.
  new-migration   Write a migration from the models.
  seed            Add demo data.

Accounts
  create-admin    Create an admin.
  reset-password  Set somebody's password.
  end-sessions    Sign somebody out, or everybody.
  emails          Write every e-mail with sample data as a file: emails preview.

Records
  export          Write users, items, usage or the audit to a file.
  import          Create or change users or items from a file.

In the background
  jobs            List the background jobs.
  deliver-mail    Deliver the letters that are due, now.
  clean-up        Delete what has expired, now.

Development
  test            Run the tests. Options, and paths as seen from apps/backend, go to pytest.
  lint            Check format, style, types and import contracts.
  audit           Write the SBOM of the locked packages, and ask for their known vulnerabilities.
  bench           Measure what a request costs, beside other frameworks. --quick, --smoke.
  lock            Write the lock files from requirements/*.in. Options go to uv: --upgrade.
  routes          List every route, and who may call it.
  openapi         Print the OpenAPI document.
  shell           Open a Python prompt with a session and the models.
  completion      Print what makes bash, zsh or fish complete ./manage.py.

--help after a command tells its options, --version which release this is."""
TAKE_FILES = {"export", "import", "emails"}  # Named as seen from where the caller stands.
OWN = {"test", "lint", "audit", "lock", "completion"}  # With no help of their own.
HELP, VERSION = {"-h", "--help"}, re.compile(r'(?m)^__version__ = "(.+)"$')
COMPLETING = "_MANAGE.PY_COMPLETE"  # By which Typer is asked what fits.
BASH = f"""\
_backdesk() {{
    local IFS=$'\\n'
    COMPREPLY=( $(env COMP_WORDS="${{COMP_WORDS[*]}}" COMP_CWORD=$COMP_CWORD \\
        {COMPLETING}=complete_bash "$1") )
}}
complete -o default -F _backdesk manage.py
"""
COMPLETIONS = {
    "bash": BASH,
    "zsh": f"autoload -U +X bashcompinit && bashcompinit\n{BASH}",
    "fish": "complete --command manage.py --arguments "
    "'(env COMP_WORDS=(commandline -cp) COMP_CWORD=(count (commandline -opc)) "
    f"{COMPLETING}=complete_bash (commandline -opc)[1])'\n",
}


def main(command: str = "", *arguments: str) -> None:
    if COMPLETING in os.environ:
        complete()
    elif command in {"", "help", *HELP}:
        print(USAGE)
        sys.exit(0 if command else 2)
    elif command == "--version":
        source = (BACKEND / "app" / "__init__.py").read_text(encoding="utf-8")
        print(f"Backdesk {VERSION.findall(source)[0]}")
    elif command in OWN and HELP & set(arguments):
        (text,) = re.findall(rf"(?m)^  {command} +(.+)$", USAGE)
        print(f"Usage: manage.py {command}\n\n{text}")
    elif run_here := {
        "lint": lint,
        "audit": audit,
        "lock": lock,
        "completion": completion,
    }.get(command):
        run_here(*arguments)
    else:
        install(APP)
        if command == "run" and not HELP & set(arguments):
            provide_secret_key()
        hand_over(*MODULES.get(command, ["app.cli", command]), *arguments)


def complete() -> None:
    """Name the commands that fit. Their options the app knows, once it is installed."""
    if os.environ.get("COMP_CWORD") == "1":
        _, *words = os.environ.get("COMP_WORDS", "").split()
        names = re.findall(r"(?m)^  ([a-z-]+)  ", USAGE)
        print(*(name for name in names if name.startswith("".join(words))), sep="\n")
    elif is_installed(APP):
        hand_over("app.cli")


def completion(shell: str = "", *_: str) -> None:
    if shell not in COMPLETIONS:
        stop("say for which shell: completion bash, zsh or fish.", code=2)
    print(COMPLETIONS[shell], end="")


def lint(*arguments: str) -> None:
    """Run every linter, also past one that fails."""
    if arguments:
        stop("lint takes no options.", code=2)
    install(APP, TOOLS)
    failed = []
    for line in LINTERS:
        say(f"--- {line}")
        tool, *options = line.split()
        if call([PYTHON.with_name(tool), *options], cwd=BACKEND):
            failed.append(line)
    if failed:
        stop("failed: " + "; ".join(failed))


def audit(*arguments: str) -> None:
    """Fail where a hole is known, and with a code of its own where nobody can be asked."""
    if arguments:
        stop("audit takes no options.", code=2)
    install(APP, TOOLS)
    SBOM.parent.mkdir(exist_ok=True)
    quiet = ["-W", "ignore::UserWarning"]  # Requirements tell nothing of who depends on whom.
    options = "--pyproject apps/backend/pyproject.toml --output-reproducible --validate"
    command = [str(PYTHON), *quiet, "-m", "cyclonedx_py", "requirements", APP, *options.split()]
    if call([*command, "--output-file", str(SBOM)], cwd=TOP):
        stop("no list of what is locked was made.")
    say(f"{SBOM.relative_to(TOP)} lists what is locked.")
    if not knows_holes():
        stop(
            "NOT RUN: the vulnerability database cannot be reached, so that nothing is known of "
            "holes. Run this where it can be, as .github/workflows/dependencies.yml does.",
            code=NOT_RUN,
        )
    if call([PYTHON, "-m", "pip_audit", "--strict", "--disable-pip", "-r", APP], cwd=TOP):
        stop("pip-audit has something to say, above.")


def knows_holes() -> bool:
    """Ask for a hole that is on record: a mirror may answer as well, and know of none."""
    try:
        with urlopen("https://pypi.org/pypi/jinja2/2.10/json", timeout=10) as answer:
            return bool(json.load(answer)["vulnerabilities"])
    except (OSError, ValueError, KeyError):
        return False


def lock(*options: str) -> None:
    """Resolve for every platform at once; what is pinned stays unless `--upgrade` is given."""
    uv = shutil.which("uv", path=PYTHON.parent) or shutil.which("uv")
    if uv is None:
        install(APP, TOOLS)
        uv = str(PYTHON.with_name("uv"))
    for target, source in SOURCES.items():
        command = f"pip compile {source} --output-file {target} --universal --python-version 3.11"
        command += " --generate-hashes --no-emit-index-url --quiet --custom-compile-command"
        if call([uv, *command.split(), "python3 manage.py lock", *options], cwd=TOP, env=ENV):
            stop(f"{target} stays as it was.")


def hand_over(*arguments: str) -> NoReturn:
    """Become the app, where the system can, so that signals reach it."""
    os.environ["BACKDESK_PROGRAM"] = "manage.py"
    options = ["-m"]
    if TAKE_FILES & set(arguments[1:2]):
        os.environ["PYTHONPATH"] = str(BACKEND)
        options = ["-P", "-m"]  # Import no `app` package from the caller's folder.
    else:
        os.chdir(BACKEND)
    if os.name == "nt":
        sys.exit(call([PYTHON, *options, *arguments]))
    os.execv(PYTHON, [str(PYTHON), *options, *arguments])  # noqa: S606  No shell is wanted here.


def install(*locks: str) -> None:
    """Make `.venv` hold what the locks name; at once when it does already."""
    if is_installed(*locks):
        return
    with one_at_a_time():
        if is_installed(*locks):
            return
        why = reason_to_install()
        say(f"Installing into .venv ({why}, about {40 if TOOLS in locks else 20} s) ...")
        shutil.rmtree(OLD_VENV, ignore_errors=True)
        if VENV.exists():
            VENV.rename(OLD_VENV)
        try:
            fill_venv(*locks)
            STAMP.write_text(json.dumps(make_stamp(*locks)), encoding="utf-8")
        finally:
            if OLD_VENV.exists() and not is_installed(*locks):
                shutil.rmtree(VENV, ignore_errors=True)
                OLD_VENV.rename(VENV)
            shutil.rmtree(OLD_VENV, ignore_errors=True)


def reason_to_install() -> str:
    try:
        made_by = re.search(r"(?m)^version\w* *= *(\d+\.\d+)", (VENV / "pyvenv.cfg").read_text())
    except OSError:
        return "first use"
    python = "{}.{}".format(*sys.version_info)
    if made_by and made_by[1] != python:
        return f"it is of Python {made_by[1]}"
    return "something changed" if read_stamp() else "it was made by something else"


def is_installed(*locks: str) -> bool:
    return make_stamp(*locks).items() <= read_stamp().items()


def make_stamp(*locks: str) -> dict[str, str]:
    """By which Python, where (its scripts break when moved), and from what."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]} {sys.base_prefix}"
    hashes = {name: hashlib.sha256((TOP / name).read_bytes()).hexdigest() for name in locks}
    return {"python": python, "place": str(VENV), **hashes}


def read_stamp() -> dict[str, str]:
    """Empty where the environment is missing or half made. It lies, and goes, with the packages."""
    with contextlib.suppress(OSError, ValueError):
        if PYTHON.exists() and (VENV / "pyvenv.cfg").exists():
            return dict(json.loads(STAMP.read_bytes()))
    return {}


def fill_venv(*locks: str) -> None:
    """With uv where it works; else with pip, which may know a mirror that uv does not."""
    base = getattr(sys, "_base_executable", sys.executable)  # Not one inside the old `.venv`.
    files = ["--require-hashes", *(f"--requirement={name}" for name in locks)]
    uv, problem = shutil.which("uv"), ""
    if uv is not None:
        problem = attempt([uv, "venv", "--clear", "--python", base, str(VENV)])
        into = ["--python", str(PYTHON)]
        problem = problem or attempt([uv, "pip", "install", "--compile-bytecode", *into, *files])
        if not problem:
            return
    failure = attempt([base, "-m", "venv", "--clear", str(VENV)])
    refuse(failure and (problem or failure))
    total = len(re.findall(r"(?m)^\w", (TOP / locks[-1]).read_text("utf-8")))
    pip = [str(PYTHON), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    refuse(attempt([*pip, "--retries=2", *files], total=total))


def attempt(command: Sequence[str | Path], *, total: int = 0) -> str:
    """Run quietly, with a bar over `total` packages. Answer what was said last if it failed."""
    last: deque[bytes] = deque(maxlen=15)
    done, has_bar = 0, total > 0 and sys.stderr.isatty()
    # The open file passed on is the lock: an installer that outlives this process still holds it.
    with Popen(
        command, cwd=TOP, env=ENV, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, close_fds=False
    ) as process:
        for line in process.stdout or ():
            last.append(line)
            if has_bar and line.startswith((b"Collecting ", b"Ignoring ", b"Requirement already")):
                done = min(done + 1, total)
                show_bar(done, total)
    if has_bar:
        show_bar(done if process.returncode else total, total)
        print(file=sys.stderr)
    said = b"".join(last).decode(errors="replace").strip() or f"{command[0]} failed."
    return said if process.returncode else ""


def show_bar(done: int, total: int) -> None:
    bar = "#" * (30 * done // total)
    print(f"[{bar:30}] {done}/{total}", end="\r", file=sys.stderr, flush=True)


def refuse(problem: str) -> None:
    """Stop on a problem: with one line where its cause is known, else with the tool's own."""
    if problem:
        known = (text for pattern, text in CAUSES.items() if re.search(pattern, problem))
        stop("cannot install: " + next(known, "\n" + problem))


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let a second start wait until the first has set up."""
    with Path(__file__).open("rb") as file:
        if sys.platform != "win32":
            os.set_inheritable(file.fileno(), True)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Waiting for another start to finish its set-up ...")
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def provide_secret_key() -> None:
    """Write `.env` on first use; to one that is there, add no more than a missing key."""
    has_key = os.environ.get("SECRET_KEY") or os.environ.get("SECRET_KEY_FILE")
    key = "" if has_key else f"SECRET_KEY={secrets.token_urlsafe(48)}\n"
    with one_at_a_time():
        if not os.path.lexists(ENV_FILE):
            handle, draft = tempfile.mkstemp(prefix=".env.", dir=TOP)  # Mode 0600.
            with os.fdopen(handle, "w") as file:
                file.write(f"# .env.example shows every setting.\n{key}ACCESS_LOG=true\n")
            Path(draft).replace(ENV_FILE)
        elif key and not SECRET_KEY.search(ENV_FILE.read_bytes()):
            with ENV_FILE.open("a") as file:
                file.write("\n" + key)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def stop(text: str, *, code: int = 1) -> NoReturn:
    say(f"manage.py: {text}")
    sys.exit(code)


def start(*arguments: str) -> None:
    """Run a command, and end as a program does on a signal or an error of the system."""
    try:
        main(*arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        stop(str(error))
