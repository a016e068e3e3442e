"""Requirement files: flax becomes the packages of Linen that the sources use."""

import pytest

from linen_core.migration.findings import UnreadableError
from linen_core.migration.requirements import is_requirement_file, rewrite_requirements

CORE = {"linen_core"}
BOTH = {"linen_core", "linen_store"}
STAYS = {"linen_core", "flax"}
PROJECT = "[project]\nname = 'flax'  # flax\n"
SETUP = "[metadata]\nname = flax\n[options]\ninstall_requires =\n    jax\n"

CASES = [
    (
        "requirements.txt",
        CORE,
        "jax\nFlax[all]>=0.8,<1  # nn\nflaxmodels",
        "jax\nlinen-core  # nn\nflaxmodels",
    ),
    ("requirements.txt", BOTH, "flax==0.8\r\njax", "linen-core\r\nlinen-store\r\njax"),
    ("requirements.txt", {"linen_summary"}, "flax", "linen-core\nlinen-summary"),
    ("requirements-dev.txt", STAYS, "flax==0.8\n", "linen-core\nflax==0.8\n"),
    (
        "requirements/dev.in",
        CORE,
        "flax @ git+https://x.org/flax ; python_version>'3'\n",
        "linen-core ; python_version>'3'\n",
    ),
    ("requirements.txt", BOTH, "linen-core==0.1\nflax\n", "linen-core==0.1\nlinen-store\n"),
    ("requirements.txt", CORE, "# flax\n-r flax.txt\n", "# flax\n-r flax.txt\n"),
    (
        "pyproject.toml",
        CORE,
        PROJECT + 'dependencies = ["jax", "flax>=0.8"]',
        PROJECT + 'dependencies = ["jax", "linen-core"]',
    ),
    (
        "pyproject.toml",
        BOTH,
        PROJECT + "dependencies = [\n  'flax',  # a\n  'jax',\n]",
        PROJECT + "dependencies = [\n  'linen-core',\n  'linen-store',  # a\n  'jax',\n]",
    ),
    (
        "pyproject.toml",
        BOTH,
        PROJECT + "dependencies = ['jax', 'flax; x']",
        PROJECT + "dependencies = ['jax', 'linen-core; x', 'linen-store; x']",
    ),
    (
        "pyproject.toml",
        STAYS,
        "[project.optional-dependencies]\nnn = ['flax']",
        "[project.optional-dependencies]\nnn = ['linen-core', 'flax']",
    ),
    (
        "pyproject.toml",
        CORE,
        "[project]\noptional-dependencies = { \"flax\" = ['flax'] }",
        "[project]\noptional-dependencies = { \"flax\" = ['linen-core'] }",
    ),
    (
        "pyproject.toml",
        CORE,
        '[dependency-groups]\ndev = ["""flax""", "a\\"b"]',
        '[dependency-groups]\ndev = ["""linen-core""", "a\\"b"]',
    ),
    (
        "pyproject.toml",
        CORE,
        "[tool.x]\ndependencies = ['flax']",
        "[tool.x]\ndependencies = ['flax']",
    ),
    ("setup.cfg", BOTH, SETUP + "    flax>=0.8\n", SETUP + "    linen-core\n    linen-store\n"),
    (
        "setup.cfg",
        CORE,
        "[options]\ninstall_requires = flax\n",
        "[options]\ninstall_requires = linen-core\n",
    ),
    (
        "setup.cfg",
        CORE,
        "[options.extras_require]\nnn =\n    flax\n[other]\nnn =\n    flax\n",
        "[options.extras_require]\nnn =\n    linen-core\n[other]\nnn =\n    flax\n",
    ),
    (
        "environment.yml",
        BOTH,
        "name: flax\ndependencies:\n  - flax=0.8\n",
        "name: flax\ndependencies:\n  - linen-core\n  - linen-store\n",
    ),
    (
        "environment.yaml",
        BOTH,
        '- pip:\n  - "flax>=0.7"  # nn\n',
        '- pip:\n  - "linen-core"\n  - "linen-store"  # nn\n',
    ),
]


@pytest.mark.parametrize(("path", "packages", "old", "new"), CASES)
def test_rewrites(path, packages, old, new):
    result = rewrite_requirements(path, old.encode(), packages)
    assert result.data.decode() == new
    assert result.findings == []
    assert rewrite_requirements(path, result.data, packages).data == result.data


@pytest.mark.parametrize(
    ("path", "text", "packages", "message"),
    [
        (
            "requirements.txt",
            "flax==0.8 --hash=sha256:1",
            CORE,
            "The requirement of flax has hashes. Compile the file again with linen-core.",
        ),
        (
            "requirements.txt",
            "git+https://github.com/google/flax.git",
            CORE,
            "flax is required by a URL or a channel. Require linen-core.",
        ),
        (
            "environment.yml",
            "- conda-forge::flax",
            CORE,
            "flax is required by a URL or a channel. Require linen-core.",
        ),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\nflax = "^0.8"',
            CORE,
            "flax is an entry of a table. Replace it by linen-core.",
        ),
        (
            "requirements.txt",
            "flax",
            set(),
            "flax is left: the given sources do not use it. Give the paths of the sources too.",
        ),
    ],
)
def test_other_forms_are_left_and_listed(path, text, packages, message):
    result = rewrite_requirements(path, text.encode(), packages)
    assert result.data.decode() == text
    assert [finding.text for finding in result.findings] == [message]


def test_bad_files_are_errors():
    with pytest.raises(UnreadableError) as caught:
        rewrite_requirements("pyproject.toml", b"[project", CORE)
    assert str(caught.value) == (
        "Cannot be read: Expected ']' at the end of a table declaration (at end of document). "
        "Correct it, then run this again."
    )


@pytest.mark.parametrize("path", ["notes.txt", "a.toml", "environment.txt", "requirements.py"])
def test_other_files_are_not_requirement_files(path):
    assert not is_requirement_file(path)
