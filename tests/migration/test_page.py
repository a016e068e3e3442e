"""The lists of docs/coming-from-flax.md are current, complete, and have advice for each name without a counterpart."""

import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from typing import TypeVar

import flax
import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "coming-from-flax.md").read_text("utf-8")
pytestmark = pytest.mark.skipif(
    f"flax {flax.__version__} has" not in TEXT, reason="the page lists the names of another flax"
)
# Names that modules of flax import from others and do not list as public.
NOT_PUBLIC = {"flax.struct.serialization", "flax.traverse_util.flax", "flax.configurations.TYPE_CHECKING", "flax.io.errors", "flax.training.train_state.OVERWRITE_WITH_GRADIENT"}  # fmt: skip


def load_script():
    spec = importlib.util.spec_from_file_location("names", ROOT / "scripts" / "_names.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load_script()
NAMES = SCRIPT.public_names()


def rows(title):
    section = re.search(rf"^### {title}\n(.*?)(?=^#|^<!--)", TEXT, re.MULTILINE | re.DOTALL)
    for line in section.group(1).splitlines()[3:]:
        if line:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def listed(title, column):
    found = []
    for cells in rows(title):
        module = cells[0].strip("`")
        found += [f"{module}.{name}" for name in re.findall(r"`([^`]+)`", cells[column])]
    return found


WITH, WITHOUT = listed("With a counterpart", 2), listed("Without a counterpart", 1)


def test_page_is_current():
    assert SCRIPT.updated(TEXT) == TEXT, "run scripts/names"


def test_each_public_name_is_in_one_list():
    assert sorted([*WITH, *WITHOUT]) == sorted(
        f"{module}.{name}" for module, names in NAMES.items() for name in names
    )
    assert len({*WITH, *WITHOUT}) == len(WITH) + len(WITHOUT) > 700


def defined_names(module):
    """List what an imported module defines: another way to find the public names."""
    for name, value in vars(module).items():
        home = getattr(value, "__module__", None) or module.__name__
        is_own = home == module.__name__ and not inspect.ismodule(value)
        if is_own and name[0] != "_" and not isinstance(value, TypeVar):
            yield f"{module.__name__}.{name}"


@pytest.mark.parametrize("name", NAMES)
def test_names_of_imported_module_are_listed(name):
    try:
        module = importlib.import_module(name)
    except ImportError:
        assert name.startswith(("flax.metrics", "flax.testing"))  # need tensorflow
    else:
        assert {*defined_names(module)} - NOT_PUBLIC <= {*WITH, *WITHOUT}


def test_names_of_flax_linen_are_listed():
    linen = importlib.import_module("flax.linen")
    assert {f"flax.linen.{name}" for name in dir(linen) if name[0] != "_"} <= {*WITH, *WITHOUT}


def test_advice_is_given_and_names_what_exists():
    texts = {cells[2] for cells in rows("Without a counterpart")}
    assert not any("spelling" in text or not text.endswith(".") for text in texts)
    for path in re.findall(r"linen_\w+(?:\.\w+)+", " ".join(texts)):
        owner, _, name = path.rpartition(".")
        package = importlib.import_module(owner.split(".", maxsplit=1)[0])
        for part in owner.split(".")[1:]:
            package = getattr(package, part, None) or importlib.import_module(owner)
        assert hasattr(package, name), path
