"""linen-store: FrozenDict, checkpoints as variable stores, save and restore.

What a user may rely on stands here, and nothing is defined here.
"""

# Immutable variables
# Stores
from linen_store.checkpoint_store import CheckpointStore as CheckpointStore

# Other formats, and what a read costs
from linen_store.converting import convert as convert
from linen_store.frozen_dict import FrozenDict as FrozenDict
from linen_store.frozen_dict import copy as copy
from linen_store.frozen_dict import freeze as freeze
from linen_store.frozen_dict import pop as pop
from linen_store.frozen_dict import pretty_repr as pretty_repr
from linen_store.frozen_dict import unfreeze as unfreeze
from linen_store.frozen_store import FrozenDictStore as FrozenDictStore
from linen_store.lazy_store import LazyStore as LazyStore
from linen_store.lazy_store import StoreStats as StoreStats
from linen_store.msgpack_store import FlaxMsgpackStore as FlaxMsgpackStore
from linen_store.npy_store import NpyFolderStore as NpyFolderStore
from linen_store.npz_store import NpzStore as NpzStore
from linen_store.opening import open_store as open_store
from linen_store.placement import LeafPlan as LeafPlan
from linen_store.placement import ReadPlan as ReadPlan
from linen_store.placement import plan as plan

# Saving, and loading into a model
from linen_store.restoring import Restored as Restored
from linen_store.restoring import RestoreReport as RestoreReport
from linen_store.restoring import restore as restore
from linen_store.safetensors_store import SafetensorsStore as SafetensorsStore
from linen_store.saving import SaveHandle as SaveHandle
from linen_store.saving import save as save

__all__ = [
    "CheckpointStore",
    "FlaxMsgpackStore",
    "FrozenDict",
    "FrozenDictStore",
    "LazyStore",
    "LeafPlan",
    "NpyFolderStore",
    "NpzStore",
    "ReadPlan",
    "RestoreReport",
    "Restored",
    "SafetensorsStore",
    "SaveHandle",
    "StoreStats",
    "convert",
    "copy",
    "freeze",
    "open_store",
    "plan",
    "pop",
    "pretty_repr",
    "restore",
    "save",
    "unfreeze",
]
