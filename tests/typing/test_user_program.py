"""What a user's type checker sees: fields, their order and types, and the mistakes it can catch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import linen_core as nn
from contracts import workspace

PROGRAM = Path(__file__).with_name("user_program.py")
SOURCES = [str(workspace.ROOT / "packages" / name / "src") for name in workspace.PACKAGES]


@pytest.fixture(scope="module")
def names():
    names = [*nn.__all__, "errors", "struct", "typing", "FrozenDict", "summary", "tabulate"]
    names += [f"transforms.{name}" for name in nn.transforms.__all__]
    names += [f"spmd.{name}" for name in nn.spmd.__all__]
    return [*names, "linear.default_kernel_init", "layers.Dense"]


@pytest.fixture(scope="module")
def output(names, tmp_path_factory):
    """Run mypy on the user's program and on one that reveals the type of each name; give the lines that it prints."""
    program = tmp_path_factory.mktemp("revealed") / "revealed.py"
    lines = ["import linen_core as nn, linen_core.layers"]
    program.write_text("\n".join(lines + [f"reveal_type(nn.{name})" for name in names]))
    options = ["--strict", "--config-file=", "--no-error-summary", "--follow-imports=silent"]
    options.append("--disable-error-code=no-untyped-call")  # jax is annotated in part
    options.append(f"--cache-dir={workspace.ROOT / '.mypy_cache' / 'user'}")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(PROGRAM), str(program)],
        env={**os.environ, "MYPYPATH": os.pathsep.join(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def findings(output):
    """The errors that mypy finds in the program: line and code."""
    output = [line for line in output if "revealed.py" not in line]
    found = re.findall(r"user_program\.py:(\d+): error: (.*)  \[([a-z-]+)\]", "\n".join(output))
    assert len(found) == sum(" error: " in line for line in output), output
    return {(int(line), code): text for line, text, code in found}


def test_checker_finds_the_mistakes_and_nothing_else(findings):
    expected = {
        (number, code)
        for number, line in enumerate(PROGRAM.read_text("utf-8").splitlines(), 1)
        for code in line.partition("# error: ")[2].split()
        if not line.startswith('"""')
    }
    assert {key: text for key, text in findings.items() if key not in expected} == {}
    assert expected - set(findings) == set()


def test_checker_sees_each_name_and_its_type(names, output):
    lines = [line for line in output if "revealed.py" in line]
    types = re.findall(r'note: Revealed type is "(.*)"', "\n".join(lines))
    assert len(lines) == len(types) == len(names), lines
    assert [name for name, found in zip(names, types, strict=True) if found == "Any"] == []
