"""What a user's type checker sees: fields, their order and types, and the mistakes it can catch."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from mypy import api

import linen_core as nn
from contracts import workspace

PROGRAM = Path(__file__).with_name("user_program.py")
SOURCES = [str(workspace.ROOT / "packages" / name / "src") for name in workspace.PACKAGES]


def check(program):
    """Run mypy on a program; give what it prints."""
    options = ["--strict", "--config-file=", "--no-error-summary"]
    options += [
        "--follow-imports=silent",
        "--disable-error-code=no-untyped-call",
    ]  # jax is annotated in part
    cache = f"--cache-dir={workspace.ROOT / '.mypy_cache' / f'{program.stem}'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPYPATH", os.pathsep.join(SOURCES))
        output, complaint, _ = api.run([*options, cache, str(program)])
    assert complaint == ""
    return output


@pytest.fixture(scope="module")
def findings():
    """The errors that mypy finds in the program: line and code."""
    output = check(PROGRAM)
    found = re.findall(r"user_program\.py:(\d+): error: (.*)  \[([a-z-]+)\]", output)
    assert len(found) == output.count(" error: "), output
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


def test_checker_sees_each_name_and_its_type(tmp_path):
    names = [*nn.__all__, "errors", "struct", "typing", "FrozenDict", "summary", "tabulate"]
    names += [f"transforms.{name}" for name in nn.transforms.__all__]
    names += [f"spmd.{name}" for name in nn.spmd.__all__]
    names += ["linear.default_kernel_init", "layers.Dense"]
    program = tmp_path / "names.py"
    lines = ["import linen_core as nn, linen_core.layers"]
    program.write_text("\n".join(lines + [f"reveal_type(nn.{name})" for name in names]))
    output = check(program)
    types = re.findall(r'note: Revealed type is "(.*)"', output)
    assert output.count("\n") == len(types) == len(names), output
    assert [name for name, found in zip(names, types, strict=True) if found == "Any"] == []
