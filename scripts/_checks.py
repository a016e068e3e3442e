"""Run the checks of the workspace, in its environment: lint, format, types, tests.

With arguments: pytest alone, with those arguments; paths among them start at the root of the clone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
CHECKS = {
    "lint": ["ruff", "check"],
    "format": ["ruff", "format", "--check"],
    "types": ["mypy"],
    "tests": ["pytest", "--numprocesses", "2", "--dist", "worksteal", "-q"],
}
# Both libraries, both processes and many tests compile the same small programs: that takes most of the time.
CACHE_ALL = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def main(*arguments: str) -> int:
    """Run pytest with the arguments, or every check; give the exit status."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if arguments:
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {"JAX_COMPILATION_CACHE_DIR": cache, **CACHE_ALL}
        failed = [name for name, command in CHECKS.items() if not passes(name, command)]
    print("Failed: " + ", ".join(failed) if failed else "All checks passed.")
    return int(bool(failed))


def passes(name: str, command: list[str]) -> bool:
    """Run one check from the root of the workspace and tell whether it passed."""
    print(f"== {name}: {' '.join(command)}", flush=True)
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
