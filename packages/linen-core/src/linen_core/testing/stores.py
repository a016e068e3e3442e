"""The conformance suite of variable stores: subclass it, say how to make your store, run pytest."""

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
    """Proves that a `VariableStore` keeps its contract.

    A subclass gives `make_store`; `count_reads` too where the store is lazy; `read_back` where a
    look past the store is possible. The store's capabilities, and nothing else, decide what applies
    to it. The tests themselves cannot be overridden, switched off or left uncollected: such a
    subclass is refused where it is defined. A class whose name starts with an underscore may be the
    base of several.

    Raises:
      StoreTestsError: on subclassing, where pytest would silently run less than the whole suite.

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
    """Why pytest would run less of a subclass than it should."""
    own = [name for name in dir(StoreTests) if not name.startswith("__") and name not in _HOOKS]
    own.append("__init_subclass__")
    changed = [name for name in own if _find(cls, name) is not _find(StoreTests, name)]
    found = [f"it overrides {name!r}, which is the suite's own" for name in changed]
    found += [
        f"it has {name!r}"
        for name in ("__init__", "__new__")
        if _find(cls, name) is not _find(object, name)
    ]
    found += [f"it sets {name!r}" for name in ("__test__", "pytestmark") if hasattr(cls, name)]
    if cls.__name__.startswith("_"):
        return found
    if cls.make_store is StoreHooks.make_store:
        found.append(
            "it does not say how to make the store: define make_store(self, variables, tmp_path)"
        )
    if not cls.__name__.startswith("Test"):
        found.append("pytest collects only classes whose name starts with 'Test'")
    return found


def _find(cls: type, name: str) -> object:
    """The attribute as it stands in its class, without binding it."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
