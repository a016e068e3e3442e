"""For authors of variable stores: the conformance suite that proves a store.

Tests are run by pytest, which this package neither imports nor requires.
"""

from linen_core.testing.stores import StoreTests

__all__ = ["StoreTests"]
