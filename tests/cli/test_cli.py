"""The command line as a script sees it: what goes where, and with which status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dgm_studio import __version__
from dgm_studio.cli import main, parser
from dgm_studio.core.resources import resource

PICTURES = ("sample", "reconstruct", "traverse", "interpolate", "recipe")
ALL = (
    "open",
    "shot",
    "train",
    "eval",
    "export-metrics",
    *PICTURES,
    "bench",
    "systems",
    "data",
    "zoo",
    "info",
    "doctor",
)


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


@pytest.mark.parametrize("arguments", [["fly"], ["data", "--jsn"], ["systems", "extra"]])
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
    for name in ALL:
        assert re.search(rf"^ +{name}\s+[A-Z]", told, re.MULTILINE), name


@pytest.mark.parametrize("arguments", [[], ["open", "zoo:vae-digits"]])
def test_without_a_display_the_window_is_refused_in_one_line_that_names_what_works(arguments: list[str]) -> None:
    blind = {name: "" for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    refused = start(*arguments, **blind)
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert "dgm-studio shot" in line and "bootstrap.py test" in line


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """An untrained model with figures, saved as training saves."""
    from dgm_studio.checkpoints.store import save
    from dgm_studio.core.cards import Metric, Modality
    from dgm_studio.core.manifest import Manifest
    from dgm_studio.models import registry

    picture = (Modality("image", "image", (1, 8, 8)),)
    model = registry.build("vae", registry.tiny("vae"), picture)
    figures = {"elbo": Metric(-20.123456, "nats", "IWAE-100", 0.21, "test")}
    manifest = Manifest("vae", picture, config=registry.tiny("vae"), data="digits8", step=3, steps=5, metrics=figures)
    save(tmp_path / "tiny.safetensors", model.state_dict(), manifest)
    return tmp_path / "tiny.safetensors"


def test_info_tells_what_a_checkpoint_is_without_torch(checkpoint: Path) -> None:
    code = f"import sys, dgm_studio.cli as c; c.main(['info', {str(checkpoint)!r}]); print('torch' in sys.modules)"
    *lines, torch = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.splitlines()
    told = dict(line.split(maxsplit=1) for line in lines)
    assert torch == "False"
    assert told["elbo"] == "-20.123 ± 0.21 nats (IWAE-100, test)"
    assert (told["data"], told["step"]) == ("digits8", "3 of 5")
    document = json.loads(start("info", str(checkpoint), "--json").stdout)
    assert document["metrics"]["elbo"]["value"] == -20.123456


def test_a_file_that_is_not_there_is_one_line_and_status_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(tmp_path / "none.safetensors"), "--json"]) == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("dgm-studio: ") and "none.safetensors" in line
    assert said.out == ""


def test_the_zoo_lists_every_checkpoint_in_the_box(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "--json"]) == 0
    listed = [card["key"] for card in json.loads(capsys.readouterr().out)]
    assert listed == sorted(f"zoo:{path.stem}" for path in resource("zoo").glob("*.safetensors"))


def test_python_loads_a_model_by_its_key(checkpoint: Path) -> None:
    import torch

    from dgm_studio import load

    model = load(str(checkpoint))
    assert not model.training
    assert model.decode(torch.zeros(2, 3)).mean.shape == (2, 1, 8, 8)
