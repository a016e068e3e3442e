"""Variable stores: the protocol, the in-memory default, and how scopes read them."""

from linen_core.store.base import StoreCapabilities as StoreCapabilities
from linen_core.store.base import VariableStore as VariableStore
from linen_core.store.default import default_store as default_store
from linen_core.store.memory import MemoryStore as MemoryStore
from linen_core.store.memory import value_spec as value_spec
from linen_core.store.registry import registered_stores as registered_stores
from linen_core.store.registry import store_class as store_class
from linen_core.store.view import StoreView as StoreView
from linen_core.store.view import as_store as as_store

__all__ = [
    "MemoryStore",
    "StoreCapabilities",
    "StoreView",
    "VariableStore",
    "as_store",
    "default_store",
    "registered_stores",
    "store_class",
    "value_spec",
]
