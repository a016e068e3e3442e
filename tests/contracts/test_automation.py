"""The hook before a commit and continuous integration run the checks of scripts/test on the supported Pythons."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess

import pytest

from contracts import workspace

ROOT = workspace.ROOT
WORKFLOW = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")


def supported(package):
    classifiers = workspace.project_file(package)["project"]["classifiers"]
    found = [
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one) for one in classifiers
    ]
    return [match.group(1) for match in found if match]


@pytest.mark.parametrize("package", workspace.PACKAGES)
def test_workflow_runs_on_each_supported_python(package):
    (matrix,) = re.findall(r"^ +python: \[(.*)\]$", WORKFLOW, re.MULTILINE)
    assert re.findall(r'"([^"]+)"', matrix) == supported(package)
    oldest = workspace.project_file(package)["project"]["requires-python"]
    assert oldest == f">={supported(package)[0]}"


def test_workflow_chooses_that_python_for_the_script():
    assert "python-version: ${{ matrix.python }}" in WORKFLOW
    assert "PYTHON: python${{ matrix.python }}" in WORKFLOW
    assert "${PYTHON:-}" in (ROOT / "scripts" / "_run").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "key", "command"),
    [(WORKFLOW, "run", "scripts/test"), (HOOKS, "entry", "scripts/test --fast")],
)
def test_commands_are_those_of_the_workspace(text, key, command):
    assert re.findall(rf"{key}: (.*)$", text, re.MULTILINE) == [command]
    assert os.access(ROOT / command.split()[0], os.X_OK)


@pytest.fixture
def checks(monkeypatch):
    """The module behind scripts/test, and the commands that it would run."""
    spec = importlib.util.spec_from_file_location("checks", ROOT / "scripts" / "_checks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    commands = []

    def run(command, **_):
        commands.append(command[2:])
        return subprocess.CompletedProcess(command, returncode=int(command[2] == "mypy"))

    monkeypatch.setattr(module.subprocess, "run", run)
    return module, commands


def test_fast_checks_are_all_but_the_tests(checks, capsys):
    module, commands = checks
    assert module.main("--fast") == 1
    assert commands == [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]]
    assert capsys.readouterr().out.splitlines()[-1] == "Failed: types"


def test_all_checks_include_the_tests(checks):
    module, commands = checks
    assert module.main() == 1
    assert [command[0] for command in commands] == ["ruff", "ruff", "mypy", "pytest"]


def test_other_arguments_are_those_of_pytest(checks):
    module, commands = checks
    assert module.main("tests/core", "--fast") == 0
    assert commands == [["pytest", "tests/core", "--fast"]]
