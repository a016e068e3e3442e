"""Run the checks of the workspace in its environment: lint, format, types, tests.

With arguments it runs only pytest with these arguments. Paths are relative to the root of the clone.
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
    """Run pytest with the arguments, or all checks without arguments; return the exit status."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if arguments:
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    failed = [name for name, command in CHECKS.items() if not passes(name, command)]
    print("Failed: " + ", ".join(failed) if failed else "All checks passed.")
    return int(bool(failed))


def passes(name: str, command: list[str]) -> bool:
    """Run a check in the root of the workspace and return whether it passed."""
    print(f"== {name}: {' '.join(command)}", flush=True)
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
