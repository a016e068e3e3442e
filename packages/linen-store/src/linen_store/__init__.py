"""linen-store: FrozenDict, checkpoints as variable stores, save and restore.

The public names are listed here and defined in the rooms of the package.
"""

from linen_store import _module_paths
from linen_store.formats.msgpack import FlaxMsgpackStore as FlaxMsgpackStore
from linen_store.formats.npy import NpyFolderStore as NpyFolderStore
from linen_store.formats.npz import NpzStore as NpzStore
from linen_store.formats.opening import open_store as open_store
from linen_store.formats.orbax.checkpoint_store import CheckpointStore as CheckpointStore
from linen_store.formats.safetensors import SafetensorsStore as SafetensorsStore
from linen_store.frozen.frozen_dict import FrozenDict as FrozenDict
from linen_store.frozen.frozen_dict import copy as copy
from linen_store.frozen.frozen_dict import freeze as freeze
from linen_store.frozen.frozen_dict import pop as pop
from linen_store.frozen.frozen_dict import pretty_repr as pretty_repr
from linen_store.frozen.frozen_dict import unfreeze as unfreeze
from linen_store.frozen.frozen_store import FrozenDictStore as FrozenDictStore
from linen_store.reading.file_store import FileStore as FileStore
from linen_store.reading.file_store import LazyStore as LazyStore
from linen_store.reading.file_store import StoreStats as StoreStats
from linen_store.restoring.placement import LeafPlan as LeafPlan
from linen_store.restoring.placement import ReadPlan as ReadPlan
from linen_store.restoring.placement import plan as plan
from linen_store.restoring.variables import Restored as Restored
from linen_store.restoring.variables import RestoreReport as RestoreReport
from linen_store.restoring.variables import restore as restore
from linen_store.saving.checkpoint import SaveHandle as SaveHandle
from linen_store.saving.checkpoint import save as save
from linen_store.saving.converting import convert as convert
from linen_store.steps.checkpoints import Checkpoints as Checkpoints

__all__ = [
    "CheckpointStore",
    "Checkpoints",
    "FileStore",
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
