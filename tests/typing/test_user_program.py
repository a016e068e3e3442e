"""What a user's type checker sees: fields, their order and types, and the mistakes it can catch."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from mypy import api

from contracts import workspace

PROGRAM = Path(__file__).with_name("user_program.py")
SOURCES = [str(workspace.ROOT / "packages" / name / "src") for name in workspace.PACKAGES]


@pytest.fixture(scope="module")
def findings():
    """The errors that mypy finds in the program: line and code."""
    options = ["--strict", "--config-file=", "--no-error-summary", "--follow-imports=silent"]
    options += ["--disable-error-code=no-untyped-call"]  # jax is annotated in part
    cache = f"--cache-dir={workspace.ROOT / '.mypy_cache' / 'user_program'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPYPATH", os.pathsep.join(SOURCES))
        output, complaint, _ = api.run([*options, cache, str(PROGRAM)])
    assert complaint == ""
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
