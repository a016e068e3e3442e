"""Every failure that linen_store reports, one class each.

An error's line says where it happened, what was found and what was expected, then what to do. The
data behind the text is on the error as attributes, and every error survives pickling as its own
class.
"""

from linen_store.errors._reading import AmbiguousCheckpointError as AmbiguousCheckpointError
from linen_store.errors._reading import CheckpointNotFoundError as CheckpointNotFoundError
from linen_store.errors._reading import CheckpointReplacedError as CheckpointReplacedError
from linen_store.errors._reading import ChecksumError as ChecksumError
from linen_store.errors._reading import DamagedCheckpointError as DamagedCheckpointError
from linen_store.errors._reading import ForkedStoreError as ForkedStoreError
from linen_store.errors._reading import KeyMapError as KeyMapError
from linen_store.errors._reading import NotACheckpointError as NotACheckpointError
from linen_store.errors._reading import RemotePathError as RemotePathError
from linen_store.errors._reading import RootNotFoundError as RootNotFoundError
from linen_store.errors._reading import StoreDtypeError as StoreDtypeError
from linen_store.errors._reading import TorchLayoutError as TorchLayoutError
from linen_store.errors._reading import TorchNamesError as TorchNamesError
from linen_store.errors._reading import UnfinishedCheckpointError as UnfinishedCheckpointError
from linen_store.errors._reading import UnknownOptionError as UnknownOptionError
from linen_store.errors._reading import UnmappedNameError as UnmappedNameError
from linen_store.errors._reading import UnsafeNameError as UnsafeNameError
from linen_store.errors._restoring import MeshSizeError as MeshSizeError
from linen_store.errors._restoring import PatternUnmatchedError as PatternUnmatchedError
from linen_store.errors._restoring import RenameCollisionError as RenameCollisionError
from linen_store.errors._restoring import RenamePatternError as RenamePatternError
from linen_store.errors._restoring import RestoreMismatchError as RestoreMismatchError
from linen_store.errors._restoring import RestoreTargetError as RestoreTargetError
from linen_store.errors._restoring import RngsMissingError as RngsMissingError
from linen_store.errors._restoring import StoreOptionsError as StoreOptionsError
from linen_store.errors._restoring import UnevenShardingError as UnevenShardingError
from linen_store.errors._saving import CheckpointExistsError as CheckpointExistsError
from linen_store.errors._saving import DottedNameError as DottedNameError
from linen_store.errors._saving import NameCollisionError as NameCollisionError
from linen_store.errors._saving import NestedSaveError as NestedSaveError
from linen_store.errors._saving import SaveTimeoutError as SaveTimeoutError
from linen_store.errors._saving import SeveralProcessesError as SeveralProcessesError
from linen_store.errors._saving import UncompressedFormatError as UncompressedFormatError
from linen_store.errors._saving import UnencodableNameError as UnencodableNameError
from linen_store.errors._saving import UnknownFormatError as UnknownFormatError
from linen_store.errors._saving import UnsupportedLeafError as UnsupportedLeafError
from linen_store.errors._system import ReadFailedError as ReadFailedError
from linen_store.errors._system import ReadPermissionError as ReadPermissionError
from linen_store.errors._system import SaveFailedError as SaveFailedError
from linen_store.errors._system import UnwritablePathError as UnwritablePathError
from linen_store.errors._values import AmbiguousKeysError as AmbiguousKeysError
from linen_store.errors._values import BadMsgpackError as BadMsgpackError
from linen_store.errors._values import FrozenDictSetError as FrozenDictSetError
from linen_store.errors._values import HandlerExistsError as HandlerExistsError
from linen_store.errors._values import NotADictError as NotADictError
from linen_store.errors._values import StateKeysError as StateKeysError
from linen_store.errors._values import StateMismatchError as StateMismatchError
from linen_store.errors._values import StateShapeError as StateShapeError
from linen_store.errors._values import StateTargetError as StateTargetError
from linen_store.errors._values import UnsupportedStateError as UnsupportedStateError

__all__ = [
    "AmbiguousCheckpointError",
    "AmbiguousKeysError",
    "BadMsgpackError",
    "CheckpointExistsError",
    "CheckpointNotFoundError",
    "CheckpointReplacedError",
    "ChecksumError",
    "DamagedCheckpointError",
    "DottedNameError",
    "ForkedStoreError",
    "FrozenDictSetError",
    "HandlerExistsError",
    "KeyMapError",
    "MeshSizeError",
    "NameCollisionError",
    "NestedSaveError",
    "NotACheckpointError",
    "NotADictError",
    "PatternUnmatchedError",
    "ReadFailedError",
    "ReadPermissionError",
    "RemotePathError",
    "RenameCollisionError",
    "RenamePatternError",
    "RestoreMismatchError",
    "RestoreTargetError",
    "RngsMissingError",
    "RootNotFoundError",
    "SaveFailedError",
    "SaveTimeoutError",
    "SeveralProcessesError",
    "StateKeysError",
    "StateMismatchError",
    "StateShapeError",
    "StateTargetError",
    "StoreDtypeError",
    "StoreOptionsError",
    "TorchLayoutError",
    "TorchNamesError",
    "UncompressedFormatError",
    "UnencodableNameError",
    "UnevenShardingError",
    "UnfinishedCheckpointError",
    "UnknownFormatError",
    "UnknownOptionError",
    "UnmappedNameError",
    "UnsafeNameError",
    "UnsupportedLeafError",
    "UnsupportedStateError",
    "UnwritablePathError",
]

# Users know the errors by this module, and so do tracebacks and pickles.
for _public in __all__:
    globals()[_public].__module__ = __name__
