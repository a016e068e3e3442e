"""The conformance suite of variable stores: subclass it, define the hooks, and run pytest."""

from __future__ import annotations

from linen_core.errors import StoreTestsError
from linen_core.testing._applying import ApplyingTests
from linen_core.testing._behaviour import BehaviourTests
from linen_core.testing._hooks import StoreHooks
from linen_core.testing._reading import ReadingTests
from linen_core.testing._writing import WritingTests

__all__ = ["StoreTests"]

_HOOKS = ("make_store", "read_back", "count_reads", "sorts_names")


class StoreTests(ReadingTests, WritingTests, BehaviourTests, ApplyingTests):
    """Tests that a `VariableStore` fulfils its contract.

    A subclass defines `make_store`. For a lazy store it also defines `count_reads`, and `read_back` if the storage can
    be read without the store. Only the capabilities of the store decide which tests are skipped. A subclass that
    overrides, disables or hides a test raises an error when it is defined. A class whose name starts with an underscore
    can be the base of several subclasses.

    Raises:
      StoreTestsError: on subclassing, if pytest would silently run only a part of the suite.

    Example:
      >>> from linen_core.testing import StoreTests
      >>> class TestMemoryStore(StoreTests):
      ...     def make_store(self, variables, tmp_path):
      ...         return nn.MemoryStore(variables)
    """

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        for complaint in _complaints(cls):
            raise StoreTestsError(cls.__qualname__, complaint)


def _complaints(cls: type[StoreTests]) -> list[str]:
    """Return the reasons why pytest would run only a part of the suite for a subclass."""
    protected = [
        name for name in dir(StoreTests) if not name.startswith("__") and name not in _HOOKS
    ]
    protected.append("__init_subclass__")
    changed = [name for name in protected if _find(cls, name) is not _find(StoreTests, name)]
    found = [f"it overrides {name!r}, which belongs to the suite" for name in changed]
    found += [
        f"it has {name!r}"
        for name in ("__init__", "__new__")
        if _find(cls, name) is not _find(object, name)
    ]
    found += [f"it sets {name!r}" for name in ("__test__", "pytestmark") if hasattr(cls, name)]
    if cls.__name__.startswith("_"):
        return found
    if cls.make_store is StoreHooks.make_store:
        found.append("it does not create a store: define make_store(self, variables, tmp_path)")
    if not cls.__name__.startswith("Test"):
        found.append("pytest collects only classes whose name starts with 'Test'")
    return found


def _find(cls: type, name: str) -> object:
    """Return an attribute of a class as it is defined, without binding it."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
