"""The programs in the READMEs run, and what they quote is what it says it is."""

from __future__ import annotations

import doctest
import json
import re
import sys
import types
import zipfile

import numpy as np
import pytest

from contracts import workspace

READMES = [workspace.ROOT / "README.md"]
READMES += [workspace.ROOT / "packages" / name / "README.md" for name in workspace.PACKAGES]
READMES += [workspace.ROOT / "docs" / "coming-from-flax.md"]


DOCTEST_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


def blocks(path):
    return re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def programs(path):
    """The blocks that are programs; the others are sessions, with what they print."""
    return [block for block in blocks(path) if not block.startswith(">>>")]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the programs of a README one after the other, in an empty folder, as one module."""

    def run_programs(path):
        module = types.ModuleType("readme")
        monkeypatch.setitem(sys.modules, "readme", module)
        monkeypatch.chdir(tmp_path)
        for program in programs(path):
            exec(compile(program, path.name, "exec"), vars(module))
        return vars(module)

    return run_programs


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_programs_run(path, run):
    assert len(blocks(path)) > 0, "a README shows the package at work"
    run(path)


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_sessions_print_what_they_show(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(path), module_relative=False, optionflags=DOCTEST_FLAGS)
    assert result.failed == 0


def test_core_readme_shows_the_store_that_is_tested():
    source = (workspace.ROOT / "tests" / "conformance" / "zip_store.py").read_text("utf-8")
    program = source[source.index("import json") :]
    assert program in programs(READMES[1])
    assert source.count("\n") < 60


def test_suite_of_the_core_readme_makes_the_store_of_the_core_readme(run, tmp_path):
    names = run(READMES[1])

    def save(path, variables):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("0", variables["params"]["bias"].tobytes())
            archive.writestr("tree", json.dumps({"params": {"bias": ["0", [2], "float32"]}}))

    names["save"] = save
    suite = names["TestZipStore"]()
    with suite.make_store({"params": {"bias": np.ones(2, np.float32)}}, tmp_path) as store:
        assert store.get("params", ("bias",)).tolist() == [1, 1]
        assert suite.count_reads(store) == 1
