"""The program as `dgm-studio` starts it, which says when it was shown and when it was warm, and ends."""

from __future__ import annotations

import json
import sys
import time

from dgm_studio import doctor


def main(device: str) -> None:
    """Start, wait, tell, close."""
    if doctor.known_bad():  # as every start of the program asks
        sys.exit(1)
    from PySide6.QtCore import QTimer

    from dgm_studio import app

    marks: dict[str, float] = {}
    application = app.make_application()
    program = app.Program(device)
    program.window.first_painted.connect(lambda: marks.setdefault("shown", time.time()))

    def look() -> None:
        if program.engine.warm.is_set():
            marks["warm"] = time.time()
            poll.stop()
            program.window.close()

    poll = QTimer(interval=5)
    poll.timeout.connect(look)
    poll.start()
    program.show()
    application.exec()
    print(json.dumps(marks), flush=True)
    sys.exit(program.end())


if __name__ == "__main__":
    main(*sys.argv[1:])
