"""Where the program's own files and the user's files are, in a checkout and in an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent.parent


def resource(*parts: str) -> Path:
    """A file that ships with the program.

    Raises:
        FileNotFoundError: The program was installed without its resources.
    """
    for root in (_PACKAGE / "resources", _PACKAGE.parent / "resources"):
        if root.is_dir():
            return root.joinpath(*parts)
    raise FileNotFoundError("the program's resources folder is missing; install DGM Studio again")


def home() -> Path:
    """The folder that holds everything of the user's: `DGM_STUDIO_HOME`, else the platform's data folder."""
    chosen = os.environ.get("DGM_STUDIO_HOME")
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("dgm-studio", appauthor=False))


def runs_dir() -> Path:
    """Where runs are kept; made when missing."""
    return _made(home() / "runs")


def session_dir() -> Path:
    """Where the session, its journal and recent files are kept; made when missing."""
    return _made(home() / "session")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
