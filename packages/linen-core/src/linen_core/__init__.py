"""Linen: the Module system for JAX (`import linen_core as nn`)."""

from linen_core.filters import DenyList as DenyList
from linen_core.store import MemoryStore as MemoryStore
from linen_core.store import StoreCapabilities as StoreCapabilities
from linen_core.store import VariableStore as VariableStore
