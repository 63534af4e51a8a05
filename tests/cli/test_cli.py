"""The command line as a script sees it: what goes where, and with which status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dgm_studio import __version__
from dgm_studio.cli import main, parser


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dgm_studio", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["systems", "--help"], ["no-such-command"]])
def test_help_and_usage_import_neither_torch_nor_qt_nor_numpy(arguments: list[str]) -> None:
    code = f"""
import sys
from dgm_studio.cli import main
try:
    main({arguments!r})
finally:
    print(*sorted({{name.partition(".")[0] for name in sys.modules}}), file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    imported = set(ran.stderr.splitlines()[-1].split())
    assert "argparse" in imported
    assert not imported & {"torch", "PySide6", "pyqtgraph", "vispy", "numpy", "PIL", "jaxtyping"}


def test_the_list_of_data_needs_no_torch_and_no_qt() -> None:
    code = (
        "import sys; from dgm_studio.cli import main; main(['data']); print(*({'torch', 'PySide6'} & {*sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == ""


def test_the_version_and_the_module_are_the_program() -> None:
    assert start("--version").stdout == f"dgm-studio {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["data", "--jsn"], ["systems", "extra"]])
def test_wrong_usage_is_status_two_and_says_so_on_standard_error_only(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert "usage: dgm-studio" in said.err


@pytest.mark.parametrize(("command", "named"), [("data", "mnist5k"), ("systems", "vae")])
def test_json_is_one_document_and_names_what_the_text_names(
    command: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert main([command]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [each["name"] for each in document]
    assert named in {each["name"] for each in document}


def test_the_doctors_json_holds_what_its_text_says() -> None:
    told = start("doctor")
    asked = start("doctor", "--json")
    found = json.loads(asked.stdout)
    assert told.returncode == asked.returncode == (1 if found["problems"] else 0)
    assert found["torch"]["version"] in told.stdout
    assert found["qt"]["platform"] in told.stdout
    assert found["torch"]["devices"][0]["kind"] == "cpu"
    assert found["known_bad"] == []


def test_a_known_bad_version_is_refused_before_anything_starts_but_the_doctor_still_speaks(tmp_path: Path) -> None:
    about = tmp_path / "torch-2.9.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.9.1\n", encoding="utf-8")
    refused = start("systems", "--json", PYTHONPATH=str(tmp_path))
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("dgm-studio: torch 2.9.1 ")
    assert "problem: torch 2.9.1 " in start("doctor", PYTHONPATH=str(tmp_path)).stdout


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipe")
def test_a_reader_that_stops_reading_is_no_failure() -> None:
    script = f"{sys.executable} -m dgm_studio data --json | head -n 1; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[\n", "")


def test_every_command_says_what_it_does() -> None:
    told = parser().format_help()
    for name in ("systems", "data", "doctor"):
        assert f"\n    {name} " in told
