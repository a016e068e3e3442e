"""Run the tests of the hatch environments `oldest` and `newest` on each Python, and print one line per cell.

A cell passes, fails, or cannot run: its Python is not on the path, or a package has no wheels for it. Only a failure
makes the exit status 1, but each cell is reported. Arguments choose the cells whose name contains one of them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import _bootstrap

__all__ = ["main"]

ENVIRONMENTS = ["oldest", "newest"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
# How uv says that a release has no build for a Python, or refuses it.
NO_WHEELS = re.compile(r"has\s+no\s+wheels\s+with\s+a\s+matching|does\s+not\s+satisfy\s+Python")


def main(*chosen: str) -> int:
    """Run the chosen cells, or all of them; return the exit status."""
    cells = [(environment, python) for python in PYTHONS for environment in ENVIRONMENTS]
    if chosen:
        cells = [cell for cell in cells if any(word in "-".join(cell) for word in chosen)]
    if not cells:
        sys.exit(
            f"No cell is named {' or '.join(chosen)}: expected a part of oldest-3.11 or newest-3.11."
        )
    results = []
    for environment, python in cells:
        result, details = run_cell(environment, python)
        results.append(result)
        print(f"{environment:7} Python {python:5} {result:14} {details}".rstrip(), flush=True)
    return int("failed" in results)


def run_cell(environment: str, python: str) -> tuple[str, str]:
    """Return the result of a cell, and details in words."""
    interpreter = find_python(python)
    if interpreter is None:
        return "no interpreter", f"no python{python} on the path"
    name = f"{environment}-{python}"
    home = _bootstrap.STATE / "envs" / name
    hatch = [str(_bootstrap.STATE / "tools" / "bin" / "python"), "-m", "hatch"]
    variables = _bootstrap.clean_variables()
    variables |= _bootstrap.uv_settings(hatch[0], variables)
    variables |= _bootstrap.hatch_settings(interpreter)
    variables |= {"HATCH_ENV_TYPE_VIRTUAL_PATH": str(home), "JAX_PLATFORMS": "cpu"}
    variables["PYTHONPYCACHEPREFIX"] = str(_bootstrap.STATE / "bytecode")
    log = _bootstrap.STATE / f"{name}.log"
    shutil.rmtree(home, ignore_errors=True)  # the newest releases may be newer than those in there
    if run([*hatch, "env", "create", environment], variables, log):
        text = log.read_text("utf-8")
        result = "no wheels" if NO_WHEELS.search(text) else "failed"
        return result, f"cannot create the environment; see {log}"
    status = run([*hatch, "run", f"{environment}:tests"], variables, log)
    version = "import jax; print('JAX', jax.__version__)"
    command = [str(home / "bin" / "python"), "-c", version]
    jax = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    last = log.read_text("utf-8").rstrip().rpartition("\n")[2]
    return ("failed", f"{jax}: {last}; see {log}") if status else ("passed", f"{jax}: {last}")


def find_python(version: str) -> str | None:
    """Return the path of an interpreter of this version; None if there is none that runs."""
    command = shutil.which(f"python{version}")
    if command is None:
        return None
    code = "import sys; print(sys.executable)"
    done = subprocess.run([command, "-c", code], capture_output=True, text=True, check=False)
    return (
        done.stdout.strip() if done.returncode == 0 else None
    )  # pyenv has commands that only fail


def run(command: list[str], variables: dict[str, str], log: Path) -> int:
    """Run a command in the root of the workspace with its output in a log; return its exit status."""
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command,
            cwd=_bootstrap.ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
