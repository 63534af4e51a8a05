"""README is true: every block of code runs, every command works, every figure and picture comes from a program."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import dgm_studio.models
from dgm_studio.cli import main, parser
from dgm_studio.core.cards import Capability
from dgm_studio.core.manifest import model_card
from dgm_studio.core.recipes import read_recipe
from dgm_studio.models import registry

CHECKOUT = Path(__file__).resolve().parents[2]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
SHORTER = 500  # steps of training in README for one in this test
LEARNING = 5  # the same for the new system, which has to learn something
# the window in a process of its own, with the file that README adds to the package
START = (
    "import sys, dgm_studio.models as m; m.__path__.append({0!r}); from dgm_studio.cli import main; sys.exit(main())"
)


@dataclass(frozen=True)
class Block:
    """What stands between two fences: its language, the words behind it, its text, its line in README."""

    language: str
    name: str
    text: str
    line: int


def blocks() -> list[Block]:
    found = []
    for match in re.finditer(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        found.append(Block(match[1], match[2], match[3], README.count("\n", 0, match.start()) + 1))
    return found


BLOCKS = [block for block in blocks() if block.language]


@dataclass
class Reader:
    """Somebody who tries README from its top, in an empty folder; blocks build upon those before them.

    Args:
        folder: Where they are.
        done: How many blocks they have tried.
        added: The folder of new systems, which stands for dgm_studio/models.
    """

    folder: Path
    done: int = 0
    added: Path = field(init=False)

    def __post_init__(self) -> None:
        self.added = self.folder / "systems"
        self.added.mkdir()
        self._pictures(self.folder / "holiday-pictures")

    def environment(self) -> dict[str, str]:
        return {"DGM_STUDIO_HOME": str(self.folder / "home")}

    def upto(self, number: int) -> None:
        """Try the blocks up to this one."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in self.environment().items():
                patch.setenv(name, value)
            while self.done <= number:
                self._try(BLOCKS[self.done])
                self.done += 1

    def _try(self, block: Block) -> None:
        if block.language == "python" and block.name:
            (self.added / block.name).write_text(block.text, encoding="utf-8")
            registry._import_all.cache_clear()  # a new file is seen at the next start of the program
        elif block.language == "python":
            exec(compile(block.text, f"README.md, line {block.line}", "exec"), {"__name__": "readme"})
        else:
            assert block.language == "sh", f"line {block.line}: who checks {block.language}?"
            for command in block.text.splitlines():
                self._run(shlex.split(command))

    def _run(self, command: list[str]) -> None:
        program, *arguments = command
        if program == "python3":
            self._bootstrap(arguments)
            return
        assert program == "dgm-studio"
        if arguments[0] == "open":
            self._open(arguments)
        elif arguments[0] == "shot":  # sets up Qt for itself alone
            subprocess.run(self._started(arguments), check=True, env={**os.environ, **self.environment()})
        else:
            if arguments[0] == "eval":
                arguments += ["--count", "16"]
            assert main(shortened(arguments)) == 0, command

    def _bootstrap(self, arguments: list[str]) -> None:
        """What these do from a bare checkout is tested in tests/packaging; here, that they have this name."""
        script, command = arguments
        told = subprocess.run([sys.executable, CHECKOUT / script, "--help"], capture_output=True, text=True, check=True)
        assert re.search(rf"{{.*\b{command}\b.*}}", told.stdout)

    def _started(self, arguments: list[str]) -> list[str]:
        return [sys.executable, "-c", START.format(str(self.added)), *arguments]

    def _open(self, arguments: list[str]) -> None:
        """The window opens the model, writes so into its journal, and closes when it is asked to."""
        journal = self.folder / "home" / "session" / "session.json"
        journal.unlink(missing_ok=True)
        process = subprocess.Popen(self._started(arguments), env={**os.environ, **self.environment()})
        try:
            end = time.monotonic() + 90
            while time.monotonic() < end and process.poll() is None:
                if journal.exists() and arguments[-1] in journal.read_text(encoding="utf-8"):
                    break
                time.sleep(0.1)
            else:
                pytest.fail(f"dgm-studio {' '.join(arguments)} did not open it")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()

    @staticmethod
    def _pictures(folder: Path) -> None:
        """Somebody's own pictures, of several sizes, one of them broken."""
        folder.mkdir()
        random = np.random.default_rng(0)
        for number in range(60):
            size = (40 + number % 3, 50, 3)
            Image.fromarray(random.integers(0, 256, size, np.uint8)).save(folder / f"{number}.png")
        (folder / "broken.jpg").write_bytes(b"not a picture")


def shortened(arguments: list[str]) -> list[str]:
    """The same with fewer steps of training."""
    factor = LEARNING if "ppca" in arguments else SHORTER
    numbers = {i for i in range(1, len(arguments)) if arguments[i - 1] == "--steps"}
    return [str(int(word) // factor) if i in numbers else word for i, word in enumerate(arguments)]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    made = Reader(tmp_path_factory.mktemp("reader"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dgm_studio.models, "__path__", [*dgm_studio.models.__path__, str(made.added)])
        yield made
    for file in made.added.glob("*.py"):
        registry._entries.pop(file.stem, None)
        sys.modules.pop(f"dgm_studio.models.{file.stem}", None)
    registry._import_all.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=[f"line{b.line}-{b.language}" for b in BLOCKS])
def test_every_block_of_the_page_works_after_those_before_it(reader: Reader, number: int) -> None:
    if os.name == "nt" and "open" in BLOCKS[number].text:
        pytest.skip("Windows has no signal that asks a window to close")
    reader.upto(number)


@pytest.mark.slow
def test_what_the_page_says_is_written_is_there_afterwards(reader: Reader) -> None:
    reader.upto(len(BLOCKS) - 1)
    for name in ("digits.png", "traverse.gif", "path.webp"):
        assert read_recipe(reader.folder / name) is not None, name
    with Image.open(reader.folder / "panel.png") as picture:
        assert picture.size == (1000, 700)
        assert len(picture.convert("RGB").getcolors(10**6) or []) > 100  # faces or digits, not an empty surface
    assert (reader.folder / "my-run.csv").read_text(encoding="utf-8").count("\n") > 3


@pytest.mark.slow
def test_the_example_of_a_new_system_is_found_trains_and_never_beats_the_closed_form(reader: Reader) -> None:
    reader.upto(len(BLOCKS) - 1)
    four = {Capability.ENCODES, Capability.DECODES, Capability.SAMPLES, Capability.SCORES}
    assert registry.systems()["ppca"].capabilities == four
    with in_home(reader):
        trained = model_card("run:ppca")
        assert (trained.system, trained.step) == ("ppca", 2000 // LEARNING)
        learnt, exact = (
            log_prob_of_the_training_digits(key) for key in ("run:ppca", str(reader.folder / "exact.safetensors"))
        )
    assert exact - 3.0 < learnt < exact + 0.05  # nats; the noise that makes grey levels continuous is drawn


def log_prob_of_the_training_digits(key: str) -> float:
    from dgm_studio import load
    from dgm_studio.data import registry as data

    train = data.load("digits8").split("train")
    x = train.batch(torch.arange(len(train)))
    with torch.no_grad():
        return float(load(key).elbo(x, torch.Generator().manual_seed(0)).mean())


@contextlib.contextmanager
def in_home(reader: Reader) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in reader.environment().items():
            patch.setenv(name, value)
        yield


@pytest.mark.slow
def test_the_contract_tests_take_the_new_system_up_by_themselves(tmp_path: Path) -> None:
    (example,) = (block for block in BLOCKS if block.name)
    (tmp_path / example.name).write_text(example.text, encoding="utf-8")
    code = (
        f"import sys, pytest, dgm_studio.models as m; m.__path__.append({str(tmp_path)!r});"
        "sys.exit(pytest.main(['tests/models/test_contract.py', '-q', '-k', 'ppca', '-p', 'no:cacheprovider']))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    assert int(re.search(r"(\d+) passed", ran.stdout)[1]) >= 14  # seven promises, for grey and for colour


def test_every_command_that_the_page_names_exists_and_every_command_is_named() -> None:
    (choices,) = (action.choices for action in parser()._actions if isinstance(action.choices, dict))
    named = set(re.findall(r"dgm-studio ([a-z][a-z-]+)", README))
    assert named - set(choices) == set()
    assert set(choices) - named == set()


def test_every_panel_has_a_place_on_the_page(qapp) -> None:
    from dgm_studio.gui.panels import panels

    assert [panel.title for panel in panels() if f"**{panel.title}.**" not in README] == []


def test_pictures_come_in_both_looks_and_are_small_together() -> None:
    used = set(re.findall(r"packaging/pictures/[\w-]+\.png", README))
    assert used == {f"packaging/pictures/{path.name}" for path in (CHECKOUT / "packaging" / "pictures").glob("*.png")}
    assert {name.replace("-light", "-dark") for name in used} <= used
    assert sum((CHECKOUT / name).stat().st_size for name in used) < 4_000_000


def test_paths_of_the_checkout_that_the_page_names_exist() -> None:
    named = set(re.findall(r"`((?:packaging|resources|tests|dgm_studio)/[\w./*-]*)`", README))
    assert len(named) > 8
    assert [name for name in sorted(named) if not any(CHECKOUT.glob(name))] == []


def test_no_figure_of_the_page_is_typed_by_hand(results: ModuleType) -> None:
    """After new figures: python packaging/results.py."""
    assert results.filled(README) == README


@pytest.fixture(scope="module")
def results() -> ModuleType:
    sys.path.insert(0, str(CHECKOUT / "packaging"))  # as when it is run as a script
    spec = importlib.util.spec_from_file_location("results", CHECKOUT / "packaging" / "results.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["results"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_figure_of_bench_stands_in_its_row_and_a_broken_promise_shows(results: ModuleType) -> None:
    def figure(what: str, value: float, bar: float) -> dict[str, object]:
        return {"what": what, "value": value, "unit": "ms", "bar": bar, "good": value <= bar}

    measured = {
        "heartbeat": [
            figure("lateness p99 while training", 1.234, 4),
            figure("lateness max while training", 40.2, 33),
        ]
    }
    rows = {row.bench: row for row in results.ROWS}
    assert results._measured(rows["heartbeat"], measured) == ("1.23 / 40.2 ms", "**no**")
    assert results._measured(rows["startup"], measured) == (results.MISSING, "")
    with pytest.raises(SystemExit, match="has no figure"):
        results._measured(rows["heartbeat"], {"heartbeat": []})


def test_the_baseline_without_latents_is_what_a_bernoulli_of_every_pixel_gives(results: ModuleType) -> None:
    train = torch.tensor([[0.0, 1.0], [1.0, 1.0]]).double()
    nats = results._bernoulli(train, torch.tensor([[1.0, 1.0]]).double())
    assert float(nats) == pytest.approx(-np.log(0.5) - np.log(1 - 1e-4))
    gaussian = results._gaussian(train.mean(0), torch.tensor(1.0).double(), torch.tensor([[0.5, 2.0]]).double())
    assert float(gaussian) == pytest.approx(np.log(2 * np.pi) + 0.5)
