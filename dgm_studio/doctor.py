"""What this machine has and lacks for DGM Studio. Standard library only, so that it runs where nothing else does.

`packaging/bootstrap.py` reads the table of system libraries from here before anything is installed, and every start of
the program asks `known_bad`. Qt and torch are asked in child processes: one that hangs or aborts becomes a line of the
report.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dgm_studio import __version__

MANAGERS = ("apt", "dnf", "pacman", "zypper")
_INSTALL = {
    "apt": "apt-get install -y",
    "dnf": "dnf install -y",
    "pacman": "pacman -S --needed",
    "zypper": "zypper install -y",
}
PACKAGES = ("torch", "PySide6-Essentials", "shiboken6", "numpy", "pyqtgraph", "vispy", "safetensors", "pillow", "av")


class Need(NamedTuple):
    """A file of the operating system and the packages that bring it, in the order of `MANAGERS`."""

    what: str
    apt: str
    dnf: str
    pacman: str
    zypper: str


# What Qt's xcb platform plugin and its GL loader open at start.
WINDOW_NEEDS = (
    Need("libGL.so.1", "libgl1", "libglvnd-glx", "libglvnd", "Mesa-libGL1"),
    Need("libEGL.so.1", "libegl1", "libglvnd-egl", "libglvnd", "Mesa-libEGL1"),
    Need("libxkbcommon.so.0", "libxkbcommon0", "libxkbcommon", "libxkbcommon", "libxkbcommon0"),
    Need("libxkbcommon-x11.so.0", "libxkbcommon-x11-0", "libxkbcommon-x11", "libxkbcommon-x11", "libxkbcommon-x11-0"),
    Need("libdbus-1.so.3", "libdbus-1-3", "dbus-libs", "dbus", "libdbus-1-3"),
    Need("libfontconfig.so.1", "libfontconfig1", "fontconfig", "fontconfig", "fontconfig"),
    Need("libglib-2.0.so.0", "libglib2.0-0", "glib2", "glib2", "libglib-2_0-0"),
    Need("libxcb-cursor.so.0", "libxcb-cursor0", "xcb-util-cursor", "xcb-util-cursor", "libxcb-cursor0"),
    Need("libxcb-icccm.so.4", "libxcb-icccm4", "xcb-util-wm", "xcb-util-wm", "libxcb-icccm4"),
    Need("libxcb-image.so.0", "libxcb-image0", "xcb-util-image", "xcb-util-image", "libxcb-image0"),
    Need("libxcb-keysyms.so.1", "libxcb-keysyms1", "xcb-util-keysyms", "xcb-util-keysyms", "libxcb-keysyms1"),
    Need(
        "libxcb-render-util.so.0",
        "libxcb-render-util0",
        "xcb-util-renderutil",
        "xcb-util-renderutil",
        "libxcb-render-util0",
    ),
    Need("libxcb-shape.so.0", "libxcb-shape0", "libxcb", "libxcb", "libxcb-shape0"),
)
# What the tests need besides: a display without a screen, and Mesa's software renderer (found by its file).
TEST_NEEDS = (
    Need("xvfb-run", "xvfb", "xorg-x11-server-Xvfb", "xorg-server-xvfb", "xvfb-run"),
    Need("xauth", "xauth", "xorg-x11-xauth", "xorg-xauth", "xauth"),
    Need("dri/swrast_dri.so", "libgl1-mesa-dri", "mesa-dri-drivers", "mesa", "Mesa-dri"),
)


# What making a virtual environment needs; Debian cuts it out of Python. `python:` marks a module of the running Python.
VENV_NEEDS = (
    Need("python:ensurepip", f"python3.{sys.version_info.minor}-venv", "python3-libs", "python", "python3-base"),
)


def missing(needs: Iterable[Need]) -> list[Need]:
    """The needs that this Linux machine does not meet; on macOS and Windows Qt brings everything with it."""
    return [need for need in needs if not _found(need.what)] if sys.platform.startswith("linux") else []


def _found(what: str) -> bool:
    if what.startswith("python:"):
        return importlib.util.find_spec(what.removeprefix("python:")) is not None
    if "/" in what:
        return any(path.exists() for folder in ("lib*", "lib/*") for path in Path("/usr").glob(f"{folder}/{what}"))
    if ".so" not in what:
        return shutil.which(what) is not None
    try:
        ctypes.CDLL(what)
    except OSError:
        return False
    return True


def manager() -> str:
    """The package manager of this machine, one of `MANAGERS`; `apt` where none is known."""
    programs = {"apt": "apt-get"}
    return next((name for name in MANAGERS if shutil.which(programs.get(name, name))), "apt")


def packages(needs: Iterable[Need], manager: str) -> list[str]:
    """The package names that meet `needs`, each once, in order."""
    return list(dict.fromkeys(getattr(need, manager) for need in needs))


def install_line(needs: Iterable[Need], manager: str, *, root: bool) -> str:
    """The line to type that installs what is missing.

    >>> install_line(TEST_NEEDS[:2], "apt", root=False)
    'sudo apt-get install -y xvfb xauth'
    """
    return " ".join(([] if root else ["sudo"]) + [_INSTALL[manager], *packages(needs, manager)])


def is_root() -> bool:
    """Whether this process may install system packages without asking."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def has_display(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a window can be shown: on Linux only where X11, Wayland or a platform chosen by hand is."""
    wanted = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return not sys.platform.startswith("linux") or any(environment.get(name) for name in wanted)


def installed(name: str) -> str:
    """The installed version of a distribution, or an empty string."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def known_bad(version: Callable[[str], str] = installed, python: tuple[int, int] = sys.version_info[:2]) -> list[str]:
    """Why this set of versions must not be started, one sentence each; empty when all is well.

    A distribution that is not there is not bad: servers train without Qt.

    >>> known_bad({"PySide6-Essentials": "6.12.0", "shiboken6": "6.12.0"}.get, (3, 11))
    ['PySide6 6.12.0 aborts on Python 3.11 after some 500 signals; install PySide6-Essentials 6.11.3.']
    """
    reasons = []
    torch, qt, shiboken = (version(name) or "" for name in ("torch", "PySide6-Essentials", "shiboken6"))
    release, running = _release(qt), ".".join(map(str, python))
    if not (3, 11) <= python < (3, 14):
        reasons.append(f"Python {running} was never tested with DGM Studio; use 3.11, 3.12 or 3.13.")
    if torch and _release(torch) < (2, 11, 0):
        reasons.append(
            f"torch {torch} lets a checkpoint file run code (weights_only was broken); install 2.11 or newer."
        )
    if release == (6, 12, 0) and python <= (3, 11):
        reasons.append(
            f"PySide6 {qt} aborts on Python {running} after some 500 signals; install PySide6-Essentials 6.11.3."
        )
    if release in {(6, 11, 0), (6, 11, 1)}:
        reasons.append(f"PySide6 {qt} is a faulty release; install PySide6-Essentials 6.11.3.")
    if qt and shiboken and release != _release(shiboken):
        reasons.append(
            f"PySide6 {qt} and shiboken6 {shiboken} must be of one release; install PySide6-Essentials again."
        )
    return reasons


def _release(version: str) -> tuple[int, int, int]:
    numbers = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", version)
    if numbers is None:
        return (0, 0, 0)
    major, minor, patch = (int(number or 0) for number in numbers.groups())
    return (major, minor, patch)


_ASK_QT = """
import json, PySide6
from PySide6.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
app = QGuiApplication([])
surface, context, gl = QOffscreenSurface(), QOpenGLContext(), None
surface.create()
if app.platformName() != "offscreen" and context.create() and context.makeCurrent(surface):
    text = context.functions().glGetString
    gl = {"vendor": text(0x1F00), "renderer": text(0x1F01), "version": text(0x1F02)}
    context.doneCurrent()
print(json.dumps({"version": PySide6.__version__, "platform": app.platformName(), "gl": gl}))
"""
_ASK_TORCH = """
import json, torch
devices = [{"kind": "cpu", "name": f"CPU, {torch.get_num_threads()} threads", "memory": None}]
for index in range(torch.cuda.device_count()):
    about = torch.cuda.get_device_properties(index)
    devices.append({"kind": "cuda", "name": about.name, "memory": about.total_memory})
if torch.backends.mps.is_available():
    devices.append({"kind": "mps", "name": "Apple GPU", "memory": None})
print(json.dumps({"version": torch.__version__, "devices": devices}))
"""


def report(timeout: float = 120.0) -> dict[str, Any]:
    """Everything `dgm-studio doctor` says, as plain data; `problems` and `notes` are sentences.

    Args:
        timeout: Seconds that Qt and torch each get to answer, started together.
    """
    qt_environment = dict(os.environ) if has_display() else {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    asked = {"qt": _ask(_ASK_QT, qt_environment), "torch": _ask(_ASK_TORCH, dict(os.environ))}
    lacking = missing(WINDOW_NEEDS)
    found: dict[str, Any] = {
        "version": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: installed(name) for name in PACKAGES if installed(name)},
        "display": has_display(),
        "missing": [{"file": need.what, "package": getattr(need, manager())} for need in lacking],
        "install": install_line(lacking, manager(), root=is_root()) if lacking else "",
        "known_bad": known_bad(),
        **{name: _answer(process, timeout) for name, process in asked.items()},
    }
    found["problems"] = list(_problems(found))
    found["notes"] = list(_notes(found))
    return found


def _ask(code: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _answer(process: subprocess.Popen[str], timeout: float) -> dict[str, Any]:
    try:
        out, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"error": f"gave no answer within {timeout:g} s"}
    if process.returncode == 0:
        return dict(json.loads(out.splitlines()[-1]))
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    if not lines:
        return {"error": f"ended with status {process.returncode}"}
    # Python names the error last, Qt first (and then lists the plugins it has)
    return {"error": lines[-1] if lines[0].startswith("Traceback") else lines[0]}


def _problems(found: dict[str, Any]) -> Iterable[str]:
    yield from found["known_bad"]
    if found["missing"]:
        files = ", ".join(each["file"] for each in found["missing"])
        yield f"System libraries are missing ({files}): {found['install']}"
    if "error" in found["qt"]:
        yield f"Qt does not start: {found['qt']['error']}"
    if "error" in found["torch"]:
        yield f"torch does not start: {found['torch']['error']}"


def _notes(found: dict[str, Any]) -> Iterable[str]:
    if not found["display"]:
        yield "No display: no window can open; `dgm-studio shot` paints panels without one."
    elif "error" not in found["qt"] and found["qt"]["gl"] is None:
        yield "No OpenGL: meshes are shown as pictures from torch; everything else is the same."
    if not found["packages"].get("av"):
        yield "MP4 export needs the extra: pip install 'dgm-studio[video]'"


def as_text(found: dict[str, Any]) -> str:
    """The report for a person: one line a subject, then what is wrong and what to do."""
    qt, torch = found["qt"], found["torch"]
    gl = qt.get("gl")
    lines = [
        ("DGM Studio", found["version"]),
        ("Python", f"{found['python']} on {found['system']}"),
        ("Qt", qt.get("error") or f"{qt['version']}, platform {qt['platform']}"),
        ("OpenGL", f"{gl['version']}, {gl['renderer']}" if gl else "none"),
        ("torch", torch.get("error") or f"{torch['version']}: " + "; ".join(map(_device, torch["devices"]))),
        ("Libraries", f"missing: {found['install']}" if found["missing"] else "all found"),
        ("Versions", "known to fail together" if found["known_bad"] else "no known-bad pair"),
    ]
    text = [f"{name:<12}{value}" for name, value in lines]
    text += [f"problem: {sentence}" for sentence in found["problems"]]
    text += [f"note: {sentence}" for sentence in found["notes"]]
    return "\n".join(text)


def _device(device: dict[str, Any]) -> str:
    memory = device["memory"]
    return f"{device['name']} ({memory / 2**30:.0f} GiB)" if memory else str(device["name"])
