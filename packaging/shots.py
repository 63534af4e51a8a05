"""Makes every picture of README.md, in a light and a dark version, by `dgm-studio shot`.

    python packaging/shots.py [NAME ...] [--home FOLDER]

Trains a small run and a fork of it first (some minutes; with --home those that are there are taken, or gone on with).
The start page and the form of a new run belong to no model, and comparing takes two: these are painted here, by the
same window.
The pictures go to packaging/pictures, which the wheel does not carry.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from dgm_studio.core.runs import RunFolder

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "packaging" / "pictures"
LOOKS = ("light", "dark")
LARGEST = 4_000_000  # bytes of all pictures together
LOSSLESS = 200_000  # bytes of one picture up to which it keeps all its colours
RUN, FORK = "digits", "digits-beta-4"
TRAINING = ("--set", "batch=64", "--set", "micro_batch=32", "--set", "valid_every=50", "--set", "learning_rate=2e-3")
SIZE = "1280x800"
SHOTS: dict[str, tuple[str, ...]] = {  # what `dgm-studio shot` is asked for
    "window": ("latent", "--checkpoint", "zoo:vae-digits", "--window", "--size", "1440x900"),
    "training": ("training", "--checkpoint", f"run:{RUN}", "--size", "1440x900"),
    "latent": ("latent", "--checkpoint", "zoo:vae-digits-2d"),
    "reconstruct": ("reconstruct", "--checkpoint", "zoo:vae-faces"),
    "samples": ("samples", "--checkpoint", "zoo:vae-faces"),
    "cross": ("cross", "--checkpoint", "zoo:mvae-faces", "--size", "1440x1000"),
    "experts": ("cross", "--checkpoint", "zoo:mvae-digits"),
    "denoise": ("denoise", "--checkpoint", "zoo:ddpm-faces", "--size", "1440x900"),
    "plane": ("denoise", "--checkpoint", "zoo:edm-rings"),
    "classify": ("classify", "--checkpoint", "zoo:classifier-digits", "--size", "1440x900"),
}
STATES = {  # of panels that have more than one page
    "experts": {"section": "experts", "index": 3},
    "denoise": {"step": 24},
    "plane": {"section": "plane", "pages": {"plane": {"step": 13.0, "paths": True}}},
}
PAGES = ("start", "newrun", "compare")


def studio(home: Path, *arguments: str) -> None:
    """Run `dgm-studio ARGUMENTS` with a home of its own."""
    command = [sys.executable, "-m", "dgm_studio", *arguments]
    subprocess.run(command, check=True, cwd=ROOT, env=_environment(home), stdout=subprocess.DEVNULL)


def _environment(home: Path) -> dict[str, str]:
    # offscreen, also where there is a screen: fonts and sizes are then the same everywhere
    return {**os.environ, "DGM_STUDIO_HOME": str(home), "QT_QPA_PLATFORM": "offscreen"}


def train(home: Path) -> None:
    """The run of the training panel, and a fork, so that there is a tree to look at."""
    begin = ["vae", "--data", "mnist5k", "--steps", "1500", *TRAINING]
    _train_or_go_on(home, RUN, begin)
    middle = min(RunFolder(home / "runs" / RUN).snapshots(), key=lambda step: abs(step - 500))
    _train_or_go_on(home, FORK, ["--fork", f"run:{RUN}@{middle}", "--set", "beta=4"])


def _train_or_go_on(home: Path, run: str, begin: list[str]) -> None:
    folder = RunFolder(home / "runs" / run)
    if not folder.exists():
        studio(home, "train", "--out", run, *begin)
    elif folder.read()["state"] != "finished":
        studio(home, "train", "--out", run, "--resume")


def shoot(name: str, look: str, home: Path) -> Path:
    """One picture."""
    path = PICTURES / f"{name}-{look}.png"
    if name in PAGES:
        command = [sys.executable, __file__, "--page", name, look, str(path)]
        subprocess.run(command, check=True, cwd=ROOT, env=_environment(home))
    else:
        size = () if "--size" in SHOTS[name] else ("--size", SIZE)
        state: tuple[str, ...] = ()
        if name in STATES:
            kept = home / f"{name}.json"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(STATES[name]), encoding="utf-8")
            state = ("--state", str(kept))
        studio(home, "shot", *SHOTS[name], "--theme", look, "--device", "cpu", "--out", str(path), *size, *state)
    optimise(path)
    return path


def optimise(path: Path) -> None:
    """Without loss where that is small enough; else 256 colours, no dither: flat surfaces stay flat."""
    from PIL import Image

    with Image.open(path) as shot:
        picture = shot.convert("RGB")
    picture.save(path, optimize=True)
    if path.stat().st_size > LOSSLESS:
        picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


def page(name: str, look: str, path: str) -> None:
    """The start page, the form of a new run, or two models side by side, by the real window."""
    from dgm_studio import app
    from dgm_studio.gui import newrun, shots, theme

    app.make_application()
    with shots.without_noise(), tempfile.TemporaryDirectory() as folder:
        program = app.Program("cpu", folder=Path(folder))
        window = program.window
        try:
            theme.use(look)
            program.show()
            window.resize(1600 if name == "compare" else 1280, 800)
            shots.wait_until(lambda: shots.idle(window) and bool(window.shelf.systems), 120)
            shown = newrun.open_form(window, {"system": "vae", "data": "mnist5k"}) if name == "newrun" else window
            if name == "compare":
                window.studio.compare_toggle("zoo:vae-digits-2d")
                window.open("zoo:vae-digits", "compare")
            shots.wait_until(lambda: shots.idle(window), 60, quiet=1.0)
            shown.grab().save(path)
        finally:
            window.close()
            program.end()


def main() -> int:
    """Make all, or some."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join((*SHOTS, *PAGES))}; all when left out"
    )
    arguments.add_argument("--home", type=Path, help="where runs are kept; a temporary folder when left out")
    arguments.add_argument("--page", nargs=3, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.page:
        page(*given.page)
        return 0
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = (given.home or Path(folder)).absolute()
        names = given.names or [*SHOTS, *PAGES]
        if "training" in names or "start" in names:
            train(home)
        made = [shoot(name, look, home) for name in names for look in LOOKS]
    print(json.dumps({path.name: path.stat().st_size for path in made}, indent=1))
    total = sum(path.stat().st_size for path in PICTURES.glob("*.png"))
    print(f"{total:,} bytes in all")
    return int(total > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
