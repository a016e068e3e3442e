"""Make one of the workspace's hatch environments, if it is not there yet, and run a script in it.

Everything lives in the ignored folder `.hatch`: `tools` (hatch itself), `envs` (the environments),
one stamp for each finished environment. A stamp that matches means that nothing has to be done, so
that a second run starts at once and needs no network. A run that was interrupted leaves no stamp,
and the next one begins anew. Runs at the same time wait for each other at a lock.

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

# What pip's settings are called by uv, which hatch installs with: a machine whose pip is set up for
# its own package index needs nothing more. Several values are joined as uv reads them.
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
    """A step of the set-up failed; the text says which and where to look."""


def main(environment: str, script: str, *arguments: str) -> None:
    """Run a script in an environment, in place of this process."""
    try:
        ensure(environment)
    except SetUpError as error:
        sys.exit(f"Linen could not set itself up: {error}")
    except KeyboardInterrupt:
        sys.exit("Set-up interrupted; the next run begins it anew.")
    home = STATE / "envs" / environment
    variables = clean_variables() | json.loads(UV_SETTINGS.read_text())
    variables["VIRTUAL_ENV"] = str(home)
    variables["PATH"] = os.pathsep.join([str(home / "bin"), variables.get("PATH", os.defpath)])
    # JAX takes three times as long to import where its bytecode is not kept; tests start many processes.
    variables["PYTHONPYCACHEPREFIX"] = str(STATE / "bytecode")
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    python = str(home / "bin" / "python")
    os.execve(python, [python, script, *arguments], variables)


def ensure(environment: str) -> None:
    """Make an environment unless its stamp says that it stands."""
    if stands(environment):
        return
    STATE.mkdir(exist_ok=True)
    with lock():
        if stands(environment):
            return
        stamp(environment).unlink(missing_ok=True)
        print(f"Setting up {STATE / 'envs' / environment} ...", file=sys.stderr, flush=True)
        LOG.write_text("")
        make_tools()
        make_environment(environment)
        finish(environment)


def stamp(name: str) -> Path:
    """Where the stamp of an environment, or of the tools, lies."""
    return STATE / f"{name}.stamp"


def stands(name: str) -> bool:
    """Tell whether an environment is finished and made from the files as they are now."""
    try:
        return stamp(name).read_text() == fingerprint(name)
    except OSError:
        return False


def finish(name: str) -> None:
    """Write a stamp in one step, so that it is there whole or not at all."""
    draft = STATE / f"{name}.stamp.new"
    draft.write_text(fingerprint(name))
    draft.replace(stamp(name))


def fingerprint(name: str) -> str:
    """Hash what an environment follows from: project files, tools, its place, the Python."""
    digest = hashlib.sha256()
    files = [] if name == "tools" else [ROOT / "pyproject.toml", *sorted(ROOT.glob(MEMBERS))]
    parts = [*TOOLS, str(ROOT), sys.version, sys.base_prefix]
    for part in [*parts, *(path.read_text("utf-8") for path in files)]:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Hold the set-up lock; the processes started meanwhile hold it too, should this one die."""
    with (STATE / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another set-up to end ...", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        os.set_inheritable(file.fileno(), True)
        yield


def make_tools() -> None:
    """Make the virtual environment that holds hatch."""
    home = STATE / "tools"
    if stands("tools"):
        return
    shutil.rmtree(home, ignore_errors=True)
    python = str(home / "bin" / "python")
    variables = clean_variables()
    call(
        "make a virtual environment (is your system's python3-venv package installed?)",
        [sys.executable, "-m", "venv", str(home)],
        variables,
    )
    call(
        "install hatch (is there a network, or a package index that pip knows?)",
        [python, "-m", "pip", "--disable-pip-version-check", "install", *TOOLS],
        variables,
    )
    finish("tools")


def make_environment(name: str) -> None:
    """Let hatch make an environment of the workspace."""
    home = STATE / "envs" / name
    shutil.rmtree(home, ignore_errors=True)
    (STATE / "config.toml").touch()
    python = str(STATE / "tools" / "bin" / "python")
    variables = clean_variables()
    settings = uv_settings(python, variables)
    UV_SETTINGS.write_text(json.dumps(settings))  # a test makes an environment of its own
    variables |= settings
    variables |= {
        "HATCH_CONFIG": str(STATE / "config.toml"),
        "HATCH_DATA_DIR": str(STATE / "data"),
        "HATCH_CACHE_DIR": str(STATE / "cache"),
        "HATCH_PYTHON": sys.executable,
        "HATCH_ENV_TYPE_VIRTUAL_UV_PATH": str(STATE / "tools" / "bin" / "uv"),
    }
    call(
        f"make the environment {name!r}", [python, "-m", "hatch", "env", "create", name], variables
    )
    if not (home / "bin" / "python").exists():
        msg = f"hatch made no {home}; see {LOG}"
        raise SetUpError(msg)


def clean_variables() -> dict[str, str]:
    """Copy the process's variables without those of another Python environment around it."""
    strangers = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "HATCH_ENV", "HATCH_ENV_ACTIVE")
    return {name: value for name, value in os.environ.items() if name not in strangers}


def uv_settings(python: str, variables: dict[str, str]) -> dict[str, str]:
    """Say in uv's variables what pip is configured to, where uv has no setting of its own."""
    command = [python, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    listing = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    # pip takes the best version of all its indexes; uv would stop at the first that has the name.
    settings = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for line in listing.stdout.splitlines():  # pip lists its PIP_ variables first, and they win
        key, _, quoted = line.partition("=")
        name, separator = PIP_TO_UV.get(key.rpartition(".")[2], ("", ""))
        if name:
            settings.setdefault(name, separator.join(str(ast.literal_eval(quoted)).split()))
    return {name: value for name, value in settings.items() if name not in variables}


def call(purpose: str, command: list[str], variables: dict[str, str]) -> None:
    """Run one step, its output in the log.

    Raises:
      SetUpError: it failed; the end of the log is printed first.
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
