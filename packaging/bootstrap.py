#!/usr/bin/env python3
"""Two commands from a fresh checkout, standard library only, on Linux, macOS and Windows.

    python3 packaging/bootstrap.py run  [dgm-studio arguments]    make .venv, install, open the window
    python3 packaging/bootstrap.py test [pytest arguments]        the same with the tools for tests, then every check

The first start installs exactly what packaging/constraints.txt names; later starts see a stamp and install nothing.
"""

# This file is read by whatever Python a person has, so it stays readable for old ones until `supported` has spoken.
from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dgm_studio.doctor import Need

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 11), (3, 13)
BUILD = ("hatchling", "editables")  # so that the project itself is installed without a second, isolated download
FAILURES = (  # what pip's log says, what a person can do
    ("No space left on device", "Free about 4 GB of disk and run the same command again."),
    ("CERTIFICATE_VERIFY_FAILED", "The network's certificate is not trusted: set PIP_CERT to its file and run again."),
    ("NewConnectionError", "The package index cannot be reached: check the network and run the same command again."),
    ("Max retries exceeded", "The package index cannot be reached: check the network and run the same command again."),
    ("No matching distribution", "This system or this Python has no such package: try Python 3.12 on a 64-bit system."),
    (
        "ResolutionImpossible",
        "The package index lacks an exact version that packaging/constraints.txt names.",
    ),
    ("Permission denied", "This folder cannot be written: move the checkout to a folder of yours and run again."),
)


class Trouble(Exception):
    """What happened and what to do, in one or two lines."""


class Environment:
    """The `.venv` beside `pyproject.toml`: made, repaired, filled and stamped.

    Args:
        root: The checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".venv"
        scripts = "Scripts" if os.name == "nt" else "bin"
        self.python = self.folder / scripts / ("python.exe" if os.name == "nt" else "python")
        self.stamp = self.folder / "dgm-studio.stamp"
        self.log = self.folder / "dgm-studio-install.log"
        self.unfinished = self.folder / "dgm-studio-installing"

    def key(self) -> str:
        """What the installed set depends on; a change of any of it makes pip look again."""
        described = hashlib.sha256(str(self.root).encode())
        for name in ("pyproject.toml", "packaging/constraints.txt"):
            described.update((self.root / name).read_bytes())
        described.update(self._version().encode())
        return described.hexdigest()

    def has(self, extras: Sequence[str]) -> bool:
        """Whether the stamp says that the project is installed as it stands, with these extras."""
        if not self.python.exists() or not self.stamp.exists() or self.unfinished.exists():
            return False
        key, *stamped = self.stamp.read_text(encoding="utf-8").split()
        return key == self.key() and set(extras) <= set(stamped)

    def install(self, extras: Sequence[str]) -> None:
        """Make `has(extras)` true.

        Raises:
            Trouble: It could not be done.
        """
        with _alone(self.root / ".venv.lock"):
            if self.has(extras):  # another start was installing while this one waited
                return
            self._make()
            kept = self.stamp.read_text(encoding="utf-8").split()[1:] if self.stamp.exists() else []
            self.stamp.unlink(missing_ok=True)
            wanted = sorted({*kept, *extras})
            # Killed between here and the end, the next start finds this file and begins anew: pip would take a
            # half-unpacked package for a whole one.
            self.unfinished.touch()
            self.log.write_text("", encoding="utf-8")
            self._pip(*BUILD)
            self._pip("--no-build-isolation", "--editable", f".[{','.join(wanted)}]" if wanted else ".")
            self.stamp.write_text(" ".join([self.key(), *wanted]), encoding="utf-8")
            self.unfinished.unlink()

    def _version(self) -> str:
        made = self.folder / "pyvenv.cfg"
        settings = made.read_text(encoding="utf-8").splitlines() if made.exists() else []
        return next((line.split("=")[1].strip() for line in settings if line.startswith("version")), "")

    def _whole(self) -> bool:
        """Whether the folder holds a supported Python with pip, and no installation was cut off in it."""
        if not self.python.exists() or self.unfinished.exists():
            return False
        ask = f"import pip, sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
        return subprocess.run([str(self.python), "-c", ask], capture_output=True).returncode == 0

    def _make(self) -> None:
        if self._whole():
            return
        say("Repairing .venv" if self.folder.exists() else "Making .venv", f"with Python {sys.version.split()[0]}")
        maker = getattr(sys, "_base_executable", None) or sys.executable
        made = subprocess.run([maker, "-m", "venv", "--clear", self.folder], text=True, capture_output=True)
        if made.returncode:
            reason = (made.stdout + made.stderr).strip().splitlines() or ["no reason given"]
            raise Trouble(f"Python could not make {self.folder}: {reason[-1]}\nDelete that folder and run again.")

    def _pip(self, *arguments: str) -> None:
        constraints = self.root / "packaging" / "constraints.txt"
        command = [str(self.python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        command += ["--constraint", str(constraints), *arguments]
        # A person's pip settings may not lead the installation out of the environment.
        settings = {**os.environ, "PIP_USER": "0", "PYTHONNOUSERSITE": "1"}
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=settings,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        with self.log.open("a", encoding="utf-8") as log:
            for line in process.stdout:
                log.write(line)
                if line.startswith(("Collecting", "  Downloading", "Installing collected")):
                    print("  " + line.strip()[:110], flush=True)
        if process.wait():
            self._explain()

    def _explain(self) -> None:
        # pip failed by itself, so nothing is half unpacked; the next start may go on from here
        self.unfinished.unlink()
        lines = self.log.read_text(encoding="utf-8").splitlines()
        reason = next((line for line in lines if line.startswith("ERROR:")), "ERROR: pip gave no reason")
        advice = next((todo for sign, todo in FAILURES if any(sign in line for line in lines)), "")
        advice = advice or f"pip's whole answer is in {self.log}; run the same command again once it is mended."
        raise Trouble(f"Installing failed: {reason[len('ERROR:') :].strip()}\n{advice}")


def say(title: str, rest: str = "") -> None:
    """One line about what happens now, in front of whatever the next program prints."""
    print(f"== {title} {rest}".rstrip(), flush=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One installation at a time: a second start waits here until the first is done."""
    with path.open("w", encoding="utf-8") as lock:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield  # closing the file lets go


def supported() -> None:
    """Stop when this Python is too old or too new, and name one that is not."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    names = [f"python3.{minor}" for minor in (13, 12, 11)]
    found = next((name for name in names if shutil.which(name)), "one of them, once it is installed,")
    raise Trouble(
        f"DGM Studio needs Python 3.11, 3.12 or 3.13; this is {sys.version.split()[0]}.\n"
        f"Run it with {found} packaging/bootstrap.py"
    )


def provide(needs: Sequence[Need]) -> None:
    """System libraries: install them where we may (Debian and its children, as root), name the line elsewhere."""
    from dgm_studio import doctor

    lacking = doctor.missing(needs)
    if not sys.platform.startswith("linux") or not lacking:
        return
    manager = doctor.manager()
    if manager == "apt" and doctor.is_root():
        names = doctor.packages(lacking, manager)
        say("Installing system libraries:", " ".join(names))
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", *names]):
            # a failed update is no end: the lists on this machine may do
            subprocess.run(["apt-get", "-q", *command], env=quiet, stdout=subprocess.DEVNULL)
        lacking = doctor.missing(needs)
    if lacking:
        files = ", ".join(need.what for need in lacking)
        line = doctor.install_line(lacking, manager, root=doctor.is_root())
        raise Trouble(f"This system lacks {files}. Install them and run again:\n  {line}")


def run(environment: Environment, arguments: Sequence[str]) -> int:
    """Open the window, or do what `dgm-studio ARGUMENTS` does."""
    from dgm_studio import doctor

    if (not arguments or arguments[0] == "open") and not doctor.has_display():
        raise Trouble(
            "There is no display here for a window: `bootstrap.py run shot PANEL --checkpoint FILE --out PNG` "
            "(dgm-studio shot) paints one without, and `bootstrap.py test` runs the tests."
        )
    prepare(environment, doctor.WINDOW_NEEDS, [])
    command = [str(environment.python), "-m", "dgm_studio", *arguments]
    sys.stdout.flush()
    if os.name == "nt":  # there exec returns to the prompt while the program runs
        return subprocess.run(command).returncode
    os.execv(command[0], command)


def test(environment: Environment, arguments: Sequence[str]) -> int:
    """Run every check, also after one has failed; pytest goes last, its summary names the failed ones."""
    from dgm_studio import doctor

    prepare(environment, (*doctor.WINDOW_NEEDS, *doctor.TEST_NEEDS), ["test"])
    tools = environment.python.parent
    checks = {
        "ruff check": [str(tools / "ruff"), "check", "."],
        "ruff format": [str(tools / "ruff"), "format", "--check", "."],
        "mypy": [str(environment.python), "-m", "mypy"],
        "import-linter": [str(tools / "lint-imports"), "--no-logo"],
    }
    failed = []
    for name, command in checks.items():
        say(name)
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(name)
    say("pytest")
    settings = {**os.environ, "LIBGL_ALWAYS_SOFTWARE": "1", "DGM_STUDIO_FAILED_CHECKS": ", ".join(failed)}
    command = [str(environment.python), "-m", "pytest", *arguments]
    if sys.platform.startswith("linux"):
        command = ["xvfb-run", "-a", "-s", "-screen 0 1440x900x24", *command]
        for name in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):  # the tests' display is the one that xvfb-run makes
            settings.pop(name, None)
    else:
        settings["QT_QPA_PLATFORM"] = "offscreen"
    status = subprocess.run(command, cwd=ROOT, env=settings).returncode
    return status or int(bool(failed))


def prepare(environment: Environment, needs: Sequence[Need], extras: Sequence[str]) -> None:
    """Everything that must be there before the program or its tests can start."""
    from dgm_studio import doctor

    ready = environment.has(extras)
    provide(needs if ready else (*needs, *doctor.VENV_NEEDS))
    if not ready:
        say("Installing", "what packaging/constraints.txt names; the first time takes some minutes")
        environment.install(extras)


def main(arguments: Sequence[str]) -> int:
    """Run one of the two commands and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="bootstrap.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "test"))
    # what follows belongs to dgm-studio or pytest, its options too
    command = parser.parse_args(arguments[:1]).command
    try:
        supported()
        sys.path.insert(0, str(ROOT))  # for dgm_studio.doctor, which needs nothing but the standard library
        return {"run": run, "test": test}[command](Environment(ROOT), arguments[1:])
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here, or makes .venv anew where it must.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error}\nMend that and run the same command again.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
