"""What the project promises of its own source, and of the versions that it names."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sysconfig
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCES = sorted((CHECKOUT / "dgm_studio").rglob("*.py"))


def pins() -> dict[str, Requirement]:
    lines = (CHECKOUT / "packaging" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    required = [Requirement(line.partition("#")[0]) for line in lines if line.partition("#")[0].strip()]
    return {canonicalize_name(each.name): each for each in required}


def asked() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    return [Requirement(text) for text in [*PROJECT["dependencies"], *extras["video"], *extras["test"]]]


def test_every_requirement_is_pinned_to_an_exact_version_that_it_allows() -> None:
    pinned = pins()
    for requirement in asked():
        if requirement.name == PROJECT["name"]:
            continue
        (exact,) = pinned[canonicalize_name(requirement.name)].specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version), requirement


def test_what_is_installed_here_is_what_the_constraints_name() -> None:
    pinned = pins()
    others = {"pip", "dgm-studio"}
    found = {canonicalize_name(each.metadata["Name"]): each.version for each in distributions()}
    wrong = {name: found[name] for name, pin in pinned.items() if name in found and found[name] not in pin.specifier}
    assert not wrong
    cuda = re.compile(r"nvidia-|cuda-|triton")  # what torch's own exact pins bring on machines with a GPU
    assert not [name for name in found if name not in pinned and name not in others and not cuda.match(name)]


def test_no_file_is_longer_than_500_lines_and_nine_of_ten_functions_fit_within_30() -> None:
    lengths = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 500, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # what is written to be read first, the docstring, is no reason to cut a function up
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                lengths.append((node.end_lineno or 0) - body[0].lineno + 1)
    assert sum(length <= 30 for length in lengths) >= 0.9 * len(lengths)


def test_no_module_is_called_what_says_nothing() -> None:
    empty = re.compile(r"(^|_)(utils?|helpers?|manager|base|common|misc)(_|$)")
    assert not [path for path in SOURCES if empty.search(path.stem)]


def test_qt_outside_the_window_and_torch_inside_it_break_the_import_rules(tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "dgm_studio", tmp_path / "dgm_studio", ignore=ignored)
    assert _broken_rules(tmp_path) == []
    with (tmp_path / "dgm_studio" / "core" / "pictures.py").open("a", encoding="utf-8") as pictures:
        pictures.write("\nimport PySide6.QtCore\n")
    (rule,) = _broken_rules(tmp_path)
    assert rule.startswith("Everything but the window works without Qt BROKEN")
    # not even indirectly: the window asks core, and core would bring torch
    with (tmp_path / "dgm_studio" / "core" / "pictures.py").open("a", encoding="utf-8") as pictures:
        pictures.write("\nimport torch\n")
    assert len(_broken_rules(tmp_path)) == 2
    with (tmp_path / "dgm_studio" / "data" / "registry.py").open("a", encoding="utf-8") as registry:
        registry.write("\nimport dgm_studio.gui.theme\n")
    assert len(_broken_rules(tmp_path)) == 3


def _broken_rules(root: Path) -> list[str]:
    command = [Path(sysconfig.get_paths()["scripts"]) / "lint-imports", "--no-logo", "--no-cache"]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, env={**os.environ, "COLUMNS": "300"})
    assert "Contracts: " in told.stdout, told.stdout + told.stderr
    return [line for line in told.stdout.splitlines() if "BROKEN" in line]


def test_the_desktop_entry_starts_the_command_that_is_installed() -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.optionxform = str  # type: ignore[assignment,method-assign]
    entry.read(CHECKOUT / "packaging" / "dgm-studio.desktop", encoding="utf-8")
    desktop = entry["Desktop Entry"]
    assert desktop["Exec"].split()[0] in PROJECT["scripts"]
    assert desktop["Type"] == "Application"
    assert desktop["Categories"].endswith(";")
