"""Every path and name in ARCHITECTURE.md and CONTRIBUTING.md exists, and the checker notices those that do not."""

from __future__ import annotations

import re

import pytest

from contracts import documents, workspace

ROOT = workspace.ROOT
DOCUMENTS = ["ARCHITECTURE.md", "CONTRIBUTING.md"]
FLOORS = workspace.project_file("")["tool"]["linen"]["floors"]


def read(name):
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_everything_it_names_exists(name):
    assert list(documents.broken_references(name, read(name))) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_it_names_much(name):
    assert len(re.findall(r"`[^`]+`", read(name))) > 60


@pytest.mark.parametrize("name", DOCUMENTS)
def test_readme_links_to_it(name):
    assert f"[{name}]({name})" in read("README.md")


@pytest.mark.parametrize("package", FLOORS)
def test_tables_of_floors_are_those_of_the_project_file(package):
    section = re.search(
        rf"^### {package}\n(.*?)^##", read("ARCHITECTURE.md"), re.MULTILINE | re.DOTALL
    )
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", section.group(1), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(FLOORS[package]) + 1))
    for (_, cell), floor in zip(rows, FLOORS[package], strict=True):
        rooms = re.findall(rf"`{package}/(\w+)(?:/|\.py)`", cell)
        assert sorted(rooms) == sorted(floor)


@pytest.mark.parametrize(
    "text",
    [
        "`linen_core/scope/scope.py`, `tests/core/`, `README.md` and `packages/linen-core/pyproject.toml`",
        "`tests/<package>/<room>/test_<file>.py`",
        "`packages/linen-core/src/linen_core/layers/brand_new.py` (new)",
        "`nn.RMSNorm`, `Scope.param`, `Scope._raise_not_found`, `Row.numbers`, `StoreFormat.suffixes`",
        "`linen_core.scope.scope.Scope`, `linen_store.open_store`, `jax.lax.scan`, `ValueError`, `MEASURES`",
        "`linen-store`, `LINEN_EXAMPLES`, `[tool.linen.floors]`, `test_signature_of_layer`",
        '`[project.entry-points."linen.stores"]`',
        "```sh\nscripts/test tests/core -k any_name `not an item`\n```",
        "[the changes](CHANGELOG.md) and [a site](https://example.org/no/such/page)",
    ],
)
def test_accepts(text):
    assert list(documents.broken_references("D.md", text)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("`linen_core/scope/scopes.py`", "the path 'linen_core/scope/scopes.py' does not exist"),
        ("`NOTES.md`", "the path 'NOTES.md' does not exist"),
        ("`tests/<package>/<room>/exam_<file>.py`", "the path 'tests/<package>/<room>/exam_<file>.py' does not exist"),
        ("`README.md` (new)", "'README.md' is not a new file in an existing folder"),
        ("`packages/linen-core/sorce/new.py` (new)", "'packages/linen-core/sorce/new.py' is not a new file in an existing folder"),
        ("`nn.RMSNorms`", "the name 'nn.RMSNorms' does not exist"),
        ("`Scope.params`", "the name 'Scope.params' does not exist"),
        ("`linen_core.scopes.Scope`", "the name 'linen_core.scopes.Scope' does not exist"),
        ("`Row.numbers.more`", "the name 'Row.numbers.more' does not exist"),
        ("`some_helper`", "the name 'some_helper' does not exist"),
        ("`LINEN_SAMPLES`", "the name 'LINEN_SAMPLES' does not exist"),
        ("`ruff check`", "'ruff check' is neither a path nor a name"),
        ("`[tool.linen.storeys]`", "no project file has '[tool.linen.storeys]'"),
        ("`linen_core", "a backtick without its partner on the same line"),
        ("```sh\nscripts/tests -q\n```", "the path 'scripts/tests' does not exist"),
        ("[the plan](PLAN.md)", "the link 'PLAN.md' leads nowhere"),
    ],
)  # fmt: skip
def test_rejects_with_the_line(text, found):
    line = 3 if text.startswith("```") else 2
    assert list(documents.broken_references("D.md", f"A title\n{text}\n")) == [
        f"D.md:{line} {found}"
    ]
