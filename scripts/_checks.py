"""Run the checks of the workspace in its environment: lint, format, types, tests.

With `--fast` it leaves out the tests. With other arguments it runs only pytest with these arguments. Paths are relative
to the root of the clone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
CHECKS = {
    "lint": ["ruff", "check"],
    "format": ["ruff", "format", "--check"],
    "types": ["mypy"],
    "tests": ["pytest", "--numprocesses", "3", "--dist", "worksteal", "-q"],
}


def main(*arguments: str) -> int:
    """Run pytest with the arguments, or the checks without arguments or with `--fast`; return the exit status."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    is_fast = arguments == ("--fast",)
    if arguments and not is_fast:
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    chosen = [name for name in CHECKS if not (is_fast and name == "tests")]
    failed = [name for name in chosen if not passes(name, CHECKS[name])]
    print("Failed: " + ", ".join(failed) if failed else "All checks passed.")
    return int(bool(failed))


def passes(name: str, command: list[str]) -> bool:
    """Run a check in the root of the workspace and return whether it passed."""
    print(f"== {name}: {' '.join(command)}", flush=True)
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
