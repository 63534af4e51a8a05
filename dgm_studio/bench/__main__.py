"""One measurement in this process: `python -m dgm_studio.bench NAME OPTIONS`; its document is the last line printed."""

from __future__ import annotations

import importlib
import json
import sys

from dgm_studio.bench.figures import Options


def main(name: str, options: str = "{}") -> None:
    """Measure and print."""
    module = importlib.import_module(f"dgm_studio.bench.{name}")
    print(json.dumps(module.measure(Options(**json.loads(options)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
