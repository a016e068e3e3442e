"""The conformance test suite for authors of variable stores.

Run its tests with pytest. This package neither imports nor requires pytest.
"""

from linen_core.testing.stores import StoreTests

__all__ = ["StoreTests"]
