"""scripts/matrix runs each cell, says which could not run and why, and fails only if a cell failed."""

import importlib.util
import re
import subprocess
import sys

import pytest

from contracts import workspace

SCRIPTS = workspace.ROOT / "scripts"


@pytest.fixture
def matrix(tmp_path, monkeypatch):
    """The module behind the script, its state in an empty folder, with interpreters for all Pythons but 3.14."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.delitem(sys.modules, "_bootstrap", raising=False)
    spec = importlib.util.spec_from_file_location("matrix", SCRIPTS / "_matrix.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module._bootstrap, "STATE", tmp_path)
    monkeypatch.setattr(module._bootstrap, "uv_settings", lambda *_: {})
    monkeypatch.setattr(
        module, "find_python", lambda python: None if python == "3.14" else sys.executable
    )
    yield module
    sys.modules.pop("_bootstrap", None)


def answer(monkeypatch, matrix, **results):
    """Have steps of a cell write a text and return a status; `create` and `tests` name the steps."""
    commands = []

    def run(command, variables, log):
        step = "create" if "create" in command else "tests"
        commands.append(
            (step, command[-1], variables["HATCH_ENV_TYPE_VIRTUAL_PATH"].rpartition("/")[2])
        )
        text, status = results[step]
        log.write_text(text)
        return status

    monkeypatch.setattr(matrix, "run", run)
    done = subprocess.CompletedProcess([], 0, "JAX 0.0.1\n", "")
    monkeypatch.setattr(matrix.subprocess, "run", lambda *_, **__: done)
    return commands


def test_all_cells_are_run_and_a_missing_python_is_reported(matrix, monkeypatch, capsys):
    commands = answer(monkeypatch, matrix, create=("", 0), tests=("...\n5 passed in 1s\n", 0))
    assert matrix.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{environment:7} Python {python}  "
        + (
            "passed         JAX 0.0.1: 5 passed in 1s"
            if python != "3.14"
            else "no interpreter no python3.14 on the path"
        )
        for python in ("3.11", "3.12", "3.13", "3.14")
        for environment in ("oldest", "newest")
    ]
    assert commands[:2] == [
        ("create", "oldest", "oldest-3.11"),
        ("tests", "oldest:tests", "oldest-3.11"),
    ]
    assert len(commands) == 12


@pytest.mark.parametrize(
    ("create", "tests", "result", "status"),
    [
        (
            ("", 0),
            ("1 failed, 4 passed", 1),
            "failed         JAX 0.0.1: 1 failed, 4 passed; see {log}",
            1,
        ),
        (
            ("because jaxlib==0.7.1 has no wheels with a matching Python ABI tag", 1),
            None,
            "no wheels      cannot create the environment; see {log}",
            0,
        ),
        (
            (
                "Because the current Python version (3.11.7) does not\nsatisfy Python>=3.12 and flax==0.12.12",
                1,
            ),
            None,
            "no wheels      cannot create the environment; see {log}",
            0,
        ),
        (
            ("no route to host", 1),
            None,
            "failed         cannot create the environment; see {log}",
            1,
        ),
    ],
)
def test_results_of_a_cell(matrix, monkeypatch, capsys, tmp_path, create, tests, result, status):
    answer(monkeypatch, matrix, create=create, tests=tests)
    assert matrix.main("newest-3.13") == status
    log = tmp_path / "newest-3.13.log"
    assert capsys.readouterr().out == f"newest  Python 3.13  {result.format(log=log)}\n"


def test_an_unknown_cell(matrix):
    with pytest.raises(SystemExit) as caught:
        matrix.main("2.7", "ancient")
    assert caught.value.code == (
        "No cell is named 2.7 or ancient: expected a part of oldest-3.11 or newest-3.11."
    )


def test_a_python_that_does_not_run_is_none(matrix, monkeypatch, tmp_path):
    command = tmp_path / "python3.99"
    command.write_text("#!/bin/sh\nexit 127\n")
    command.chmod(0o755)
    spec = importlib.util.spec_from_file_location("fresh_matrix", SCRIPTS / "_matrix.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert module.find_python("3.99") is None
    command.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    assert module.find_python("3.99") == sys.executable
    assert module.find_python("3.98") is None


@pytest.mark.parametrize("package", workspace.PACKAGES)
def test_each_supported_python_has_a_row(matrix, package):
    classifiers = workspace.project_file(package)["project"]["classifiers"]
    supported = re.findall(r"Python :: (3\.\d+)", "\n".join(classifiers))
    assert set(supported) <= set(matrix.PYTHONS)


def test_oldest_environment_has_the_declared_jax():
    dependencies = workspace.project_file("linen-core")["project"]["dependencies"]
    text = (workspace.ROOT / "pyproject.toml").read_text("utf-8")
    oldest = text.partition("[tool.hatch.envs.oldest]")[2].partition("\n[")[0]
    for name in ("jax", "jaxlib"):
        [declared] = re.findall(rf"^{name}>=(.*)$", "\n".join(dependencies), re.MULTILINE)
        assert f'"{name}=={declared}"' in oldest
