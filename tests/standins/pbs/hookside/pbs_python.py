"""Runs one hook: `pbs_python.py EVENT HOOK`, the first a file that a mom wrote and that goes. The
status is the hook's: 0, what it rejected with, or 1 when it raised."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

import pbs


def main() -> None:
    """The hook runs as a module of its own name would."""
    told, script = map(Path, sys.argv[1:3])
    pbs._told.update(json.loads(told.read_text()))
    told.unlink()
    words = pbs._told["words"]
    sys.argv[:] = [str(script)]
    # Python's own guess at a locale, which the real one does not make.
    os.environ.pop("LC_CTYPE", None)
    try:
        exec(compile(script.read_text(), str(script), "exec"), {"__name__": "__main__"})
    except Exception:
        traceback.print_exc()
        print(words, "encountered an exception, request rejected", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
