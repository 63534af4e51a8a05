"""From a bare checkout to a running program: made, stamped, repaired, and plain words when it cannot be done.

Everything is real but the downloads: a checkout's copy gets an environment that sees the packages of this one, so that
pip finds all that it is asked for without a network.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from dgm_studio import doctor

CHECKOUT = Path(__file__).resolve().parents[2]
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}


@pytest.fixture(scope="module")
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", CHECKOUT / "packaging" / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkout: the program without its rooms, and one test."""
    root = tmp_path_factory.mktemp("some where") / "check out"
    for name in ("packaging/bootstrap.py", "packaging/constraints.txt", "pyproject.toml", "LICENSE", "README.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, root / name)
    (root / "resources").mkdir()
    (root / "dgm_studio").mkdir()
    for name in ("__init__.py", "__main__.py", "doctor.py"):
        shutil.copy(CHECKOUT / "dgm_studio" / name, root / "dgm_studio" / name)
    shutil.copytree(CHECKOUT / "dgm_studio" / "cli", root / "dgm_studio" / "cli")
    (root / "tests").mkdir()
    shutil.copy(CHECKOUT / "tests" / "conftest.py", root / "tests" / "conftest.py")
    shutil.copy(CHECKOUT / "tests" / "shapes.py", root / "tests" / "shapes.py")
    (root / "tests" / "test_one.py").write_text("def test_one():\n    assert True\n", encoding="utf-8")
    return root


def furnish(root: Path) -> None:
    """An environment in which pip finds everything already there, as after a first installation."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", root / ".venv"], check=True)
    inside = sysconfig.get_paths(vars={"base": str(root / ".venv"), "platbase": str(root / ".venv")})
    (Path(inside["purelib"]) / "seen.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
    for tool in ("ruff", "lint-imports"):
        (Path(inside["scripts"]) / tool).symlink_to(Path(sysconfig.get_paths()["scripts"]) / tool)


def start(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {**os.environ, **OFFLINE, "DISPLAY": ":99", **environment}
    # bootstrap is started by a Python that has none of the packages, as on a bare machine
    command = [sys.executable, "-I", "-S", str(root / "packaging" / "bootstrap.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=settings, timeout=300)


posix = pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody make links without a privilege")


@posix
def test_the_first_start_installs_and_the_next_one_installs_nothing(copy: Path) -> None:
    furnish(copy)
    first = start(copy, "run", "--version")
    assert (first.returncode, "== Installing" in first.stdout) == (0, True), first.stdout + first.stderr
    log = copy / ".venv" / "dgm-studio-install.log"
    log.unlink()
    second = start(copy, "run", "--version")
    assert second.stdout.strip() == first.stdout.splitlines()[-1]
    assert second.stdout.startswith("dgm-studio ")
    assert not log.exists()

    # what was installed is this checkout, not the one whose packages are seen
    python = copy / ".venv" / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import dgm_studio; print(dgm_studio.__file__)"], cwd="/", capture_output=True, text=True
    )
    assert Path(where.stdout.strip()) == copy / "dgm_studio" / "__init__.py"


@posix
def test_other_requirements_or_a_moved_folder_or_more_extras_are_looked_at_again(
    copy: Path, bootstrap: ModuleType
) -> None:
    furnish(copy)
    environment = bootstrap.Environment(copy)
    assert not environment.has([])
    environment.stamp.write_text(f"{environment.key()} test", encoding="utf-8")
    assert environment.has([]) and environment.has(["test"]) and not environment.has(["test", "video"])
    constraints = copy / "packaging" / "constraints.txt"
    before = constraints.read_text(encoding="utf-8")
    constraints.write_text(before + "# changed\n", encoding="utf-8")
    assert not environment.has([])
    constraints.write_text(before, encoding="utf-8")
    assert environment.has([])
    moved = copy.parent / "moved"
    copy.rename(moved)
    try:
        assert not bootstrap.Environment(moved).has([])
    finally:
        moved.rename(copy)


@posix
@pytest.mark.slow
def test_an_installation_that_was_cut_off_is_begun_anew_and_one_that_fails_says_why_in_two_lines(copy: Path) -> None:
    furnish(copy)
    (copy / ".venv" / "dgm-studio-installing").touch()  # what a killed start leaves behind
    failed = start(copy, "run", "--version")
    assert "Repairing .venv" in failed.stdout
    assert failed.returncode == 1
    assert failed.stderr.startswith("Installing failed: ")
    assert len(failed.stderr.splitlines()) == 2, failed.stderr
    assert "Traceback" not in failed.stderr
    # pip said no by itself: what is there is whole, and is not thrown away again
    assert "Repairing" not in start(copy, "run", "--version").stdout


@posix
def test_an_environment_without_its_python_is_not_taken_for_a_whole_one(copy: Path, bootstrap: ModuleType) -> None:
    furnish(copy)
    environment = bootstrap.Environment(copy)
    environment.stamp.write_text(environment.key(), encoding="utf-8")
    assert environment.has([])
    environment.python.unlink()
    environment.python.symlink_to("/nowhere/python3")  # the system's Python was upgraded
    assert not environment.has([])
    shutil.rmtree(environment.folder)
    environment.folder.mkdir()
    assert not environment.has([])


@posix
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("xvfb-run"), reason="tests go through Xvfb")
def test_all_checks_run_though_one_fails_and_the_tests_summary_comes_last_and_names_it(copy: Path) -> None:
    furnish(copy)
    ran = start(copy, "test", "-p", "no:randomly", "tests")
    titles = [line[3:] for line in ran.stdout.splitlines() if line.startswith("== ")]
    assert titles[-5:] == ["ruff check", "ruff format", "mypy", "import-linter", "pytest"]
    assert "1 passed" in ran.stdout.splitlines()[-1]
    told = ran.stdout.partition("failed before the tests")[2]
    assert "mypy, import-linter (see above)" in told  # the copy lacks the rooms that both look for
    assert "ruff" not in told
    assert ran.returncode == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a display")
@pytest.mark.parametrize("arguments", [[], ["open", "model.safetensors"]])
def test_without_a_display_one_line_says_what_can_be_done_instead(copy: Path, arguments: list[str]) -> None:
    ran = start(copy, "run", *arguments, DISPLAY="", WAYLAND_DISPLAY="", QT_QPA_PLATFORM="")
    assert (ran.returncode, ran.stdout) == (1, "")
    (line,) = ran.stderr.splitlines()
    assert "dgm-studio shot" in line
    assert "bootstrap.py test" in line


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux leaves libraries to the distribution")
@pytest.mark.parametrize(
    ("manager", "root", "line"),
    [
        ("apt", False, "sudo apt-get install -y libgl1 xvfb"),
        ("dnf", True, "dnf install -y libglvnd-glx xorg-x11-server-Xvfb"),
        ("zypper", False, "sudo zypper install -y Mesa-libGL1 xvfb-run"),
    ],
)
def test_missing_libraries_are_named_with_the_line_to_type(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, manager: str, root: bool, line: str
) -> None:
    lacking = [doctor.WINDOW_NEEDS[0], doctor.TEST_NEEDS[0]]
    monkeypatch.setattr(doctor, "missing", lambda needs: lacking)
    monkeypatch.setattr(doctor, "manager", lambda: manager)
    monkeypatch.setattr(doctor, "is_root", lambda: root)
    with pytest.raises(bootstrap.Trouble) as told:
        bootstrap.provide(lacking)
    lines = str(told.value).splitlines()
    assert "libGL.so.1, xvfb-run" in lines[0]
    assert lines[1].strip() == line


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="apt-get")
def test_root_on_debian_gets_them_installed_lists_first(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # an apt-get that writes down what it was asked, in front of the real one, which would change this machine
    asked = tmp_path / "asked"
    program = tmp_path / "apt-get"
    program.write_text(f'#!/bin/sh\necho "$@" >> "{asked}"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(doctor, "is_root", lambda: True)
    monkeypatch.setattr(doctor, "missing", lambda needs: [] if asked.exists() else [doctor.WINDOW_NEEDS[0]])
    bootstrap.provide(doctor.WINDOW_NEEDS)
    assert asked.read_text(encoding="utf-8").splitlines() == [
        "-q update",
        "-q install -y --no-install-recommends libgl1",
    ]


def test_an_old_python_can_read_the_file_and_is_told_what_to_use(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ast.parse((CHECKOUT / "packaging" / "bootstrap.py").read_text(encoding="utf-8"), feature_version=(3, 7))
    bootstrap.supported()
    monkeypatch.setattr(bootstrap, "NEWEST", (3, 10))
    with pytest.raises(bootstrap.Trouble, match=r"needs Python 3\.11, 3\.12 or 3\.13; this is 3\."):
        bootstrap.supported()


def test_wrong_usage_is_status_two(copy: Path) -> None:
    assert start(copy, "fly").returncode == 2
    assert start(copy).returncode == 2


def test_continuous_integration_runs_exactly_the_test_command() -> None:
    lines = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["exec python3 packaging/bootstrap.py test"]
    assert os.access(CHECKOUT / ".ci" / "run", os.X_OK) or os.name == "nt"
