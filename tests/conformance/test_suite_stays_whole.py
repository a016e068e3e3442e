"""A subclass of the suite that would run less than the whole of it is refused where it is defined."""

from __future__ import annotations

import subprocess
import sys

import pytest

from linen_core.errors import StoreTestsError
from linen_core.store import MemoryStore
from linen_core.testing import StoreTests


def make_store(self, variables, tmp_path):
    return MemoryStore(variables)


class Silent:
    def test_close_twice(self, tmp_path):
        """Say nothing."""


ADVICE = "Define the hooks of linen_core.testing.StoreTests in it, and nothing else of the suite."


@pytest.mark.parametrize(
    ("name", "bases", "body", "complaint"),
    [
        (
            "TestX",
            (StoreTests,),
            {},
            "it does not create a store: define make_store(self, variables, tmp_path)",
        ),
        (
            "ZipChecks",
            (StoreTests,),
            {"make_store": make_store},
            "pytest collects only classes whose name starts with 'Test'",
        ),
        (
            "TestX",
            (StoreTests,),
            {"make_store": make_store, "test_close_twice": None},
            "it overrides 'test_close_twice', which belongs to the suite",
        ),
        (
            "TestX",
            (Silent, StoreTests),
            {"make_store": make_store},
            "it overrides 'test_close_twice', which belongs to the suite",
        ),
        (
            "_Base",
            (StoreTests,),
            {"_expect_holds": print},
            "it overrides '_expect_holds', which belongs to the suite",
        ),
        (
            "_Base",
            (StoreTests,),
            {"__init_subclass__": classmethod(lambda cls: None)},
            "it overrides '__init_subclass__', which belongs to the suite",
        ),
        (
            "TestX",
            (StoreTests,),
            {"make_store": make_store, "__init__": print},
            "it has '__init__'",
        ),
        (
            "TestX",
            (StoreTests,),
            {"make_store": make_store, "__test__": False},
            "it sets '__test__'",
        ),
        (
            "TestX",
            (StoreTests,),
            {"make_store": make_store, "pytestmark": [pytest.mark.skip]},
            "it sets 'pytestmark'",
        ),
    ],
)
def test_refused(name, bases, body, complaint):
    with pytest.raises(StoreTestsError) as caught:
        type(name, bases, body)
    assert (caught.value.tests, caught.value.complaint) == (name, complaint)
    assert str(caught.value) == f"Cannot test a store with {name}: {complaint}. {ADVICE}"


def test_base_of_several_needs_no_hook():
    base = type("_Base", (StoreTests,), {})
    assert issubclass(type("TestX", (base,), {"make_store": make_store}), StoreTests)


def test_own_tests_may_be_added():
    extra = {"make_store": make_store, "test_more": lambda self: None}
    assert hasattr(type("TestX", (StoreTests,), extra), "test_more")


def test_pytest_is_not_imported():
    code = "import sys, linen_core.testing; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
