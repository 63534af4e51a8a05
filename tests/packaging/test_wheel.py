"""The wheel is the whole program: installed away from the checkout, it finds its resources and does the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder / "dist"),
        str(CHECKOUT),
    ]
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = (folder / "dist").iterdir()
    target = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return target


def start(*arguments: str, site: Path | None) -> str:
    """What the program prints, started in the root folder; with a site, that one comes before the checkout."""
    path = {"PYTHONPATH": str(site)} if site else {}
    command = [sys.executable, *arguments]
    ran = subprocess.run(command, cwd="/", env={**os.environ, **path}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_the_installed_wheel_finds_every_resource_beside_itself(installed: Path) -> None:
    code = "from dgm_studio.core.resources import resource; print(resource('data'))"
    assert Path(start("-c", code, site=installed).strip()) == installed / "dgm_studio" / "resources" / "data"
    tracked = subprocess.run(
        ["git", "ls-files", "resources"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert tracked
    for name in tracked:
        assert (installed / "dgm_studio" / name).read_bytes() == (CHECKOUT / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("command", ["data", "systems"])
def test_the_installed_program_answers_as_the_checkout_does(installed: Path, command: str) -> None:
    there = start("-m", "dgm_studio", command, "--json", site=installed)
    assert there == start("-m", "dgm_studio", command, "--json", site=None)
    assert len(there) > 100


@pytest.mark.slow
def test_the_wheel_carries_its_licence_its_types_and_the_command(installed: Path) -> None:
    (about,) = installed.glob("dgm_studio-*.dist-info")
    assert "MIT License" in (about / "licenses" / "LICENSE").read_text(encoding="utf-8")
    assert "dgm-studio = dgm_studio.cli:main" in (about / "entry_points.txt").read_text(encoding="utf-8")
    assert (installed / "dgm_studio" / "py.typed").exists()
    assert not (installed / "tests").exists()
