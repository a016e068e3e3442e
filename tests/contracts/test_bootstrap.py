"""The scripts set themselves up once, say what is missing, and begin anew after an interruption."""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
import sys

import pytest

from contracts import workspace

SCRIPTS = workspace.ROOT / "scripts"


@pytest.fixture
def bootstrap(tmp_path, monkeypatch):
    """The module behind the scripts, its state in an empty folder."""
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPTS / "_bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    state = tmp_path / "state"
    monkeypatch.setattr(module, "STATE", state)
    monkeypatch.setattr(module, "LOG", state / "setup.log")
    monkeypatch.setattr(module, "UV_SETTINGS", state / "uv.json")
    return module


def executable(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize("script", ["test", "demo"])
@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('[ "$1" = --version ] && echo Python 3.9.18 || exit 1', "Python 3.9.18"),
        (None, "no python3"),
    ],
)
def test_python_that_is_too_old(script, body, found, tmp_path):
    for tool in ("sh", "dirname"):
        (tmp_path / tool).symlink_to(
            f"/usr/bin/{tool}" if os.path.exists(f"/usr/bin/{tool}") else f"/bin/{tool}"
        )
    if body:
        executable(tmp_path / "python3", body)
    command = [str(tmp_path / "sh"), str(SCRIPTS / script)]
    done = subprocess.run(
        command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"Linen needs Python 3.11 or newer, found {found}: install one, or name it: "
        f"PYTHON=/its/path {SCRIPTS / script}\n"
    )


def test_finished_environment_is_left_alone(bootstrap, monkeypatch):
    made = []
    monkeypatch.setattr(bootstrap, "create_tools", lambda: None)
    monkeypatch.setattr(bootstrap, "create_environment", made.append)
    for _ in range(3):
        bootstrap.ensure("default")
    bootstrap.ensure("demo")
    assert made == ["default", "demo"]


def test_changed_project_file_makes_it_anew(bootstrap, monkeypatch):
    made = []
    monkeypatch.setattr(bootstrap, "create_tools", lambda: None)
    monkeypatch.setattr(bootstrap, "create_environment", made.append)
    bootstrap.ensure("default")
    monkeypatch.setattr(bootstrap, "MEMBERS", "packages/*/README.md")
    bootstrap.ensure("default")
    assert made == ["default", "default"]


def test_interrupted_set_up_is_begun_anew(bootstrap, monkeypatch):
    attempts = []

    def interrupted(name):
        attempts.append(name)
        if len(attempts) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "create_tools", lambda: None)
    monkeypatch.setattr(bootstrap, "create_environment", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bootstrap.ensure("default")
    assert not bootstrap.is_finished("default")
    bootstrap.ensure("default")
    assert bootstrap.is_finished("default")
    assert attempts == ["default", "default"]


def test_failing_step_says_what_it_was_for(bootstrap, capsys):
    bootstrap.STATE.mkdir()
    with pytest.raises(bootstrap.SetUpError) as caught:
        bootstrap.call("boil water", [sys.executable, "-c", "raise SystemExit('no kettle')"], {})
    assert str(caught.value) == f"cannot boil water; see {bootstrap.LOG}"
    assert capsys.readouterr().err.splitlines()[-1] == "no kettle"


def test_pip_settings_become_those_of_uv(bootstrap, tmp_path):
    listing = r"""
:env:.find-links='/wheels'
global.cert='/certs.pem'
global.extra-index-url='https://a.example/simple\nhttps://b.example/simple'
global.find-links='/other'
global.index-url='https://main.example/simple'
global.quiet='1'
install.no-index='true'
"""
    python = executable(tmp_path / "python", f"cat <<'END'{listing}END")
    variables = {"PATH": os.defpath, "UV_NO_INDEX": "0"}
    assert bootstrap.uv_settings(python, variables) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels",
        "SSL_CERT_FILE": "/certs.pem",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_DEFAULT_INDEX": "https://main.example/simple",
    }


def test_variables_of_another_environment_are_not_passed_on(bootstrap, monkeypatch):
    monkeypatch.setenv("VIRTUAL_ENV", "elsewhere")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("LINEN_KEEPS", "this")
    variables = bootstrap.clean_variables()
    assert "elsewhere" not in variables.values()
    assert variables["LINEN_KEEPS"] == "this"
