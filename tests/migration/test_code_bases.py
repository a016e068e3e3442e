"""Code bases that are written for flax compute the same bits with Linen: unchanged, and after the migration.

Each folder beside this file is a small project in a style that people use. It runs with flax, with Linen through
`flax_compat`, and with Linen after `migrate --write`. The last two run where flax cannot be imported.
"""

import ast
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core._last_bits import shapes_have_the_same_bits
from core._long_runs import IS_LONG
from linen_core.migrate import main as migrate

HERE = Path(__file__).parent
PROGRAMS = {"vision": "main.py", "language": "train.py", "agent": "train.py"}
# The usual run trains one of them.
trained = pytest.mark.parametrize("project", PROGRAMS if IS_LONG else ["vision"], indirect=True)
# Each line that changes has one of these words.
CHANGED = {"vision": r"\bflax\b", "language": r"\b(flax|core)\b", "agent": r"\bflax\b"}


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


class Project:
    """Copies of a code base, before and after the migration."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        ignored = shutil.ignore_patterns("__pycache__")
        self.before = Path(shutil.copytree(HERE / name, folder / "before", ignore=ignored))
        self.after = Path(shutil.copytree(HERE / name, folder / "after", ignore=ignored))
        (folder / "blocked").mkdir()
        (folder / "blocked" / "flax.py").write_text("raise ImportError('flax is blocked')\n")
        self.report = self.run(HERE, "-m", "linen_core.migrate", "--write", str(self.after)).stderr
        self.moved = files_of(self.after)

    def run(self, cwd, *command, blocked=False):
        flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=2")
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder / "blocked") if blocked else "",
            "PYTHONDONTWRITEBYTECODE": "1",
            "XLA_FLAGS": flags,
            # The programs are the same in all runs, and compiled once.
            "JAX_COMPILATION_CACHE_DIR": str(self.folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        done = subprocess.run(
            [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def train(self, folder, *runner, blocked, options=()):
        """Run the program of the code base, and return the losses and digests that it prints."""
        command = (*runner, PROGRAMS[self.name], *options)
        output = self.run(folder, *command, blocked=blocked).stdout
        return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module", params=PROGRAMS)
def project(request, tmp_path_factory):
    return Project(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def equal_bits(project):
    """Skip a test where two programs need not have the same bits."""
    if project.name == "vision" and not shapes_have_the_same_bits():
        pytest.skip("this JAX draws other last bits in arrays of other shapes")


@pytest.fixture(scope="module")
def with_flax(project):
    return project.train(project.before, blocked=False)


@trained
def test_it_trains(with_flax):
    losses = [float.fromhex(loss) for loss in with_flax["losses"]]
    assert len(set(losses)) == len(losses) >= 4
    assert len(with_flax["params"]) == 64


@trained
def test_moved_code_computes_the_same_bits(project, with_flax, equal_bits):
    assert project.train(project.after, blocked=True) == with_flax


@trained
def test_unchanged_code_computes_the_same_bits(project, with_flax, equal_bits):
    # The first run may have left a checkpoint, which the second one would restore.
    copy = shutil.copytree(HERE / project.name, project.folder / "unchanged")
    run = ("-m", "linen_core.flax_compat", "run")
    assert project.train(copy, *run, blocked=True) == with_flax


@pytest.mark.parametrize("project", ["vision"], indirect=True)
def test_moved_code_goes_on_with_the_checkpoints_of_flax(project, with_flax, equal_bits):
    shutil.copytree(project.before / "runs", project.after / "runs_of_flax")
    goes_on = project.train(project.before, blocked=False)
    assert goes_on["losses"] != with_flax["losses"]
    options = ("--workdir", "runs_of_flax")
    assert project.train(project.after, blocked=True, options=options) == goes_on


def test_moved_tests_pass(project):
    output = project.run(
        project.after, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests", blocked=True
    ).stdout  # fmt: skip
    assert re.search(r"\d+ passed", output), output
    assert "skipped" not in output


def test_second_migration_changes_nothing(project, capfd):
    assert migrate(["--write", str(project.after)]) == 0
    assert {
        name: project.after.joinpath(name).read_bytes() for name in project.moved
    } == project.moved
    assert " 0 places left." in project.report
    assert "Changed 0 of " in capfd.readouterr().err


def imported_packages(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_no_file_imports_flax(project):
    sources = {name: data for name, data in project.moved.items() if name.endswith(".py")}
    assert [name for name, data in sources.items() if "flax" in imported_packages(data)] == []
    for name, data in project.moved.items():
        if name.endswith(".ipynb"):
            cells = json.loads(data)["cells"]
            code = "".join(
                line for cell in cells if cell["cell_type"] == "code" for line in cell["source"]
            )
            assert "flax" not in code


def test_only_lines_that_use_flax_change(project):
    original = files_of(HERE / project.name)
    assert original.keys() == project.moved.keys()
    changed = 0
    for name, data in original.items():
        old, new = (one.decode().splitlines(keepends=True) for one in (data, project.moved[name]))
        for line in difflib.ndiff(old, new):
            if line.startswith("- "):
                changed += 1
                assert re.search(CHANGED[project.name], line), (name, line)
            elif line.startswith("+ "):
                assert re.search(r"linen.(core|store|summary)", line), (name, line)
    assert changed > 15
