"""Create one of the workspace's hatch environments if it is missing, and run a script in it.

Everything is in the ignored folder `.hatch`: `tools` (hatch itself), `envs` (the environments), and a stamp for each
finished environment. If the stamp matches, nothing is left to do: a second run starts immediately and needs no network.
An interrupted run leaves no stamp, and the next run starts again. Concurrent runs wait for each other at a lock.

Usage: python _bootstrap.py ENVIRONMENT SCRIPT [ARGUMENT...]
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["main"]

TOOLS = ["hatch==1.18.2", "uv==0.13.9"]
ROOT = Path(__file__).resolve().parent.parent
MEMBERS = "packages/*/pyproject.toml"
STATE = ROOT / ".hatch"
LOG = STATE / "setup.log"
UV_SETTINGS = STATE / "uv.json"
TAIL = 15

# Settings of pip, and the name and list separator of each in uv, which hatch installs with. With them, a machine whose
# pip is configured for another package index needs no further set-up.
PIP_TO_UV = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "no-index": ("UV_NO_INDEX", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
}


class SetUpError(Exception):
    """A step of the set-up failed; the message names the step and the log."""


def main(environment: str, script: str, *arguments: str) -> None:
    """Replace this process by a script in an environment."""
    try:
        ensure(environment)
    except SetUpError as error:
        sys.exit(f"Linen could not set itself up: {error}")
    except KeyboardInterrupt:
        sys.exit("Set-up interrupted; the next run starts again.")
    home = STATE / "envs" / environment
    variables = clean_variables() | json.loads(UV_SETTINGS.read_text())
    variables["VIRTUAL_ENV"] = str(home)
    variables["PATH"] = os.pathsep.join([str(home / "bin"), variables.get("PATH", os.defpath)])
    # Without cached bytecode the import of JAX takes three times as long, and tests start many processes.
    variables["PYTHONPYCACHEPREFIX"] = str(STATE / "bytecode")
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    python = str(home / "bin" / "python")
    os.execve(python, [python, script, *arguments], variables)


def ensure(environment: str) -> None:
    """Create an environment unless its stamp is current."""
    if is_finished(environment):
        return
    STATE.mkdir(exist_ok=True)
    with lock():
        if is_finished(environment):
            return
        stamp(environment).unlink(missing_ok=True)
        print(f"Setting up {STATE / 'envs' / environment} ...", file=sys.stderr, flush=True)
        LOG.write_text("")
        create_tools()
        create_environment(environment)
        finish(environment)


def stamp(name: str) -> Path:
    """Return the path of the stamp of an environment or of the tools."""
    return STATE / f"{name}.stamp"


def is_finished(name: str) -> bool:
    """Return whether an environment is finished and up to date."""
    try:
        return stamp(name).read_text() == fingerprint(name)
    except OSError:
        return False


def finish(name: str) -> None:
    """Write a stamp by an atomic replace: an interruption must not leave a part of it."""
    draft = STATE / f"{name}.stamp.new"
    draft.write_text(fingerprint(name))
    draft.replace(stamp(name))


def fingerprint(name: str) -> str:
    """Hash everything that determines an environment: project files, tools, folder and Python."""
    digest = hashlib.sha256()
    files = [] if name == "tools" else [ROOT / "pyproject.toml", *sorted(ROOT.glob(MEMBERS))]
    parts = [*TOOLS, str(ROOT), sys.version, sys.base_prefix]
    for part in [*parts, *(path.read_text("utf-8") for path in files)]:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Hold the set-up lock. Child processes inherit it, and keep it if this process dies."""
    with (STATE / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another set-up to end ...", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        os.set_inheritable(file.fileno(), True)
        yield


def create_tools() -> None:
    """Create the virtual environment of hatch."""
    home = STATE / "tools"
    if is_finished("tools"):
        return
    shutil.rmtree(home, ignore_errors=True)
    python = str(home / "bin" / "python")
    variables = clean_variables()
    call(
        "create a virtual environment (is your system's python3-venv package installed?)",
        [sys.executable, "-m", "venv", str(home)],
        variables,
    )
    call(
        "install hatch (is a network available, or a package index that pip is configured for?)",
        [python, "-m", "pip", "--disable-pip-version-check", "install", *TOOLS],
        variables,
    )
    finish("tools")


def create_environment(name: str) -> None:
    """Create an environment of the workspace with hatch."""
    home = STATE / "envs" / name
    shutil.rmtree(home, ignore_errors=True)
    (STATE / "config.toml").touch()
    python = str(STATE / "tools" / "bin" / "python")
    variables = clean_variables()
    settings = uv_settings(python, variables)
    UV_SETTINGS.write_text(json.dumps(settings))  # a test creates another environment with them
    variables |= settings | hatch_settings(sys.executable)
    call(
        f"create the environment {name!r}",
        [python, "-m", "hatch", "env", "create", name],
        variables,
    )
    if not (home / "bin" / "python").exists():
        msg = f"hatch did not create {home}; see {LOG}"
        raise SetUpError(msg)


def hatch_settings(python: str) -> dict[str, str]:
    """Return variables for hatch: everything is in the folder `.hatch`, and environments have this Python."""
    return {
        "HATCH_CONFIG": str(STATE / "config.toml"),
        "HATCH_DATA_DIR": str(STATE / "data"),
        "HATCH_CACHE_DIR": str(STATE / "cache"),
        "HATCH_PYTHON": python,
        "HATCH_ENV_TYPE_VIRTUAL_UV_PATH": str(STATE / "tools" / "bin" / "uv"),
    }


def clean_variables() -> dict[str, str]:
    """Return the variables of the process without those of an active Python environment."""
    excluded = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "HATCH_ENV", "HATCH_ENV_ACTIVE")
    return {name: value for name, value in os.environ.items() if name not in excluded}


def uv_settings(python: str, variables: dict[str, str]) -> dict[str, str]:
    """Return the configuration of pip as variables of uv, except for those that are set already."""
    command = [python, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    listing = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    # pip takes the best version of all indexes. By default uv uses only the first index that has the package.
    settings = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for line in listing.stdout.splitlines():  # pip lists PIP_ variables first; they take precedence
        key, _, quoted = line.partition("=")
        name, separator = PIP_TO_UV.get(key.rpartition(".")[2], ("", ""))
        if name:
            settings.setdefault(name, separator.join(str(ast.literal_eval(quoted)).split()))
    return {name: value for name, value in settings.items() if name not in variables}


def call(purpose: str, command: list[str], variables: dict[str, str]) -> None:
    """Run one step and write its output to the log.

    Raises:
      SetUpError: the step failed; the end of the log is printed first.
    """
    with LOG.open("a") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            close_fds=False,
            check=False,
        )
    if done.returncode:
        print(*LOG.read_text().splitlines()[-TAIL:], sep="\n", file=sys.stderr)
        msg = f"cannot {purpose}; see {LOG}"
        raise SetUpError(msg)


if __name__ == "__main__":
    main(*sys.argv[1:])
