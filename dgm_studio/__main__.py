"""``python -m dgm_studio`` is the same program as ``dgm-studio``."""

from dgm_studio.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
