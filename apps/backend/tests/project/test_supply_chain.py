"""What is installed is what was locked, and the gate cannot be talked past."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Final

import pytest

import launcher
from app import __version__
from tests.absent import leave_out
from tests.project.markdown import BACKEND, TOP
from tests.project.tools import require_tool
from tests.server import free_port

LOCKS: Final = {
    "requirements.txt": "test.in",
    "requirements/run.txt": "run.in",
    "requirements/dev.txt": "dev.in",
    "requirements/peers.txt": "peers.in",
    "requirements/clients.txt": "clients.in",
}
PACKAGE: Final = "annotated-types"  # A small one.

PINNED: Final = re.compile(
    r"[\w.-]+(\[[\w,-]+\])?==[\w.!+]+( ; .+?)?( \\\n +--hash=sha256:[0-9a-f]{64})+\n"
)

of_each_lock = pytest.mark.parametrize("lock", LOCKS)


def locked(lock: str) -> dict[str, str]:
    """Return each requirement with all its lines, by name."""
    text = (TOP / lock).read_text(encoding="utf-8")
    entries = re.split(r"(?m)^(?=\S)", re.sub(r"(?m)^ *#.*\n", "", text))
    return {re.split(r"[=<>~!;\[ ]", entry)[0]: entry for entry in entries if entry}


@of_each_lock
def test_requirement_is_pinned_and_has_hashes(lock: str) -> None:
    entries = locked(lock)

    assert len(entries) > 25
    assert [name for name, entry in entries.items() if not PINNED.fullmatch(entry)] == []


@of_each_lock
def test_lock_holds_what_is_asked_for(lock: str) -> None:
    wanted = asked_for(LOCKS[lock])

    assert wanted - locked(lock).keys() == set()


def asked_for(source: str) -> set[str]:
    names = set()
    for line in (TOP / "requirements" / source).read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            names |= asked_for(line.removeprefix("-r "))
        elif line and not line.startswith(("#", "-c ")):
            names.add(re.split(r"[=<>~!;\[ ]", line)[0])
    return names


def test_locks_agree() -> None:
    app, image, tools, *_ = (locked(lock) for lock in LOCKS)

    assert {name: tools.get(name) for name in app} == app
    assert {name: app.get(name) for name in image} == image


def test_image_installs_no_test_packages() -> None:
    asked = asked_for("test.in") - asked_for("run.in")

    assert {"pytest", "httpx2"} <= asked
    assert asked & locked("requirements/run.txt").keys() == set()
    assert "requirements/run.txt" in (TOP / "apps" / "backend" / "Dockerfile").read_text()


def test_peers_run_on_the_same_versions() -> None:
    """What both have is the same, so that the benchmark compares no versions."""
    app, _, _, peers, _ = (locked(lock) for lock in LOCKS)

    shared = app.keys() & peers.keys()
    assert {name: version(peers[name]) for name in shared} == {
        name: version(app[name]) for name in shared
    }


def version(entry: str) -> str:
    return entry.partition("==")[2].split()[0]


@pytest.fixture(scope="module")
def pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pip of an empty environment."""
    if importlib.util.find_spec("ensurepip") is None:
        leave_out("Python's ensurepip is missing: install python3-venv")
    folder = tmp_path_factory.mktemp("pip")
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/pip.exe" if sys.platform == "win32" else "bin/pip")


def install(pip: Path, requirement: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "requirements.txt"
    file.write_text(requirement)
    options = ["--require-hashes", "--no-deps", "--no-cache-dir", "--retries=1", "--timeout=20"]
    return subprocess.run(
        [pip, "install", *options, f"--target={folder / 'packages'}", "--requirement", file],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_install_refuses_a_package_whose_hash_is_another(pip: Path, tmp_path: Path) -> None:
    requirement = locked("requirements.txt")[PACKAGE]
    altered = re.sub(r"sha256:(.)", lambda found: f"sha256:{other(found[1])}", requirement)
    rightly = install(pip, requirement, tmp_path)
    if rightly.returncode != 0:
        leave_out(f"the package index cannot be reached: {rightly.stderr.splitlines()[-1]}")

    refused = install(pip, altered, tmp_path)

    assert refused.returncode != 0
    assert "DO NOT MATCH THE HASHES" in refused.stderr


def other(digit: str) -> str:
    return "0" if digit != "0" else "1"


def test_install_refuses_a_requirement_without_a_hash(pip: Path, tmp_path: Path) -> None:
    (pinned,) = re.findall(r"^\S+==\S+", locked("requirements.txt")[PACKAGE])

    refused = install(pip, f"{pinned}\n", tmp_path)

    assert refused.returncode != 0
    assert "hashes are required" in refused.stderr.lower()


def test_everything_is_installed_by_hash() -> None:
    backend = TOP / "apps" / "backend"
    places = (backend / "launcher.py", backend / "Dockerfile")
    installs = [place.read_text(encoding="utf-8").count("--require-hashes") for place in places]

    assert min(installs) > 0


# --- The list of what is locked (SBOM), and known holes.


def test_list_names_every_package_with_its_hashes(tmp_path: Path) -> None:
    require_tool("cyclonedx_py")
    made = tmp_path / "sbom.json"
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", "--validate"]
    subprocess.run([*command, "--output-file", made], cwd=TOP, check=True, timeout=120)

    found = json.loads(made.read_text(encoding="utf-8"))

    listed = {one["name"]: json.dumps(one) for one in found["components"]}
    entries = locked("requirements.txt")
    assert found["bomFormat"] == "CycloneDX"
    assert listed.keys() == entries.keys()
    for name, entry in entries.items():
        assert all(hashed in listed[name] for hashed in re.findall(r"sha256:(\w+)", entry)), name


def test_audit_does_not_take_silence_for_good_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")

    assert not launcher.knows_holes()


def test_audit_without_an_answer_is_a_failure_of_its_own() -> None:
    source = Path(launcher.__file__).read_text(encoding="utf-8")
    gate = (TOP / ".ci" / "run").read_text(encoding="utf-8")

    not_run = launcher.NOT_RUN
    assert not_run not in {0, 1, 2}
    assert re.search(r"if not knows_holes\(\):\s+stop\([^)]*code=NOT_RUN", source)
    assert f'[ "$audited" = {not_run} ]' in gate
    assert gate.index("NOT CHECKED HERE") > gate.index("in a fresh clone")  # At the very end.


@pytest.mark.parametrize("file", ["ci.yml", "dependencies.yml"])
def test_workflow_keeps_to_the_schema(file: str) -> None:
    require_tool("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    workflow = TOP / ".github" / "workflows" / file

    subprocess.run([*command, "vendor.github-workflows", workflow], check=True, timeout=120)


def test_workflow_runs_the_gate_for_every_change() -> None:
    text = (TOP / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")

    assert re.search(r"(?m)^ +- run: .*\.ci/run$", text)
    assert re.search(r"(?m)^  pull_request:$", text)
    assert "continue-on-error" not in text


def test_workflow_asks_for_holes_each_week_and_with_each_lock() -> None:
    workflow = TOP / ".github" / "workflows" / "dependencies.yml"
    text = workflow.read_text(encoding="utf-8")

    assert re.search(r"(?m)^ +- run: python3 manage.py audit$", text)
    assert re.search(r"(?m)^ +- cron: ", text)
    assert text.count('"requirements.txt", "requirements/**"') == 2
    assert "continue-on-error" not in text


# --- The gate.


def test_gate_passes_nothing_by() -> None:
    gate = (TOP / ".ci" / "run").read_text(encoding="utf-8")

    assert re.search(r"^set -euo pipefail$", gate, re.MULTILINE)
    assert re.search(r"^export CI=true$", gate, re.MULTILINE)
    assert re.findall(r"\|\| *(?:true|:|exit 0)|set \+[euo]|--exit-zero|--ignore-vuln", gate) == []


@pytest.mark.parametrize("command", ["lint", "audit", "test", "bench"])
def test_gate_runs(command: str) -> None:
    gate = (TOP / ".ci" / "run").read_text(encoding="utf-8")

    assert re.search(rf"^[^#\n]*\bmanage\.py {command}\b", gate, re.MULTILINE)


# --- The version.


def test_version_stands_in_one_place() -> None:
    project = tomllib.loads((BACKEND / "pyproject.toml").read_text(encoding="utf-8"))

    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "app.__version__"}


def test_changelog_knows_the_version_and_what_comes_next() -> None:
    text = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")

    first, newest = re.findall(r"(?m)^## \[([\w.]+)\]( - \d{4}-\d\d-\d\d)?$", text)[:2]
    assert first == ("Unreleased", "")
    assert newest[0] == __version__
    assert newest[1] != ""
