"""Variable stores: the protocol, the in-memory default, and the registry of third-party stores."""

from linen_core.store.base import StoreCapabilities as StoreCapabilities
from linen_core.store.base import VariableStore as VariableStore
from linen_core.store.memory import MemoryStore as MemoryStore
from linen_core.store.memory import value_spec as value_spec
