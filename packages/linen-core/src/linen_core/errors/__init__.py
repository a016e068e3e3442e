"""Every failure that linen_core reports, one class each.

An error's first line says where it happened, what was found and what was expected, then what to do. The
data behind the text is on the error as attributes, and every error survives pickling as its own class.
"""

from linen_core.errors._base import FlaxError as FlaxError
from linen_core.errors._base import LinenError as LinenError
from linen_core.errors._base import did_you_mean as did_you_mean
from linen_core.errors._base import listing as listing
from linen_core.errors._base import render_path as render_path
from linen_core.errors._checkpoints import AlreadyExistsError as AlreadyExistsError
from linen_core.errors._checkpoints import CursorFindError as CursorFindError
from linen_core.errors._checkpoints import InvalidCheckpointError as InvalidCheckpointError
from linen_core.errors._checkpoints import (
    MPACheckpointingRequiredError as MPACheckpointingRequiredError,
)
from linen_core.errors._checkpoints import (
    MPARestoreDataCorruptedError as MPARestoreDataCorruptedError,
)
from linen_core.errors._checkpoints import (
    MPARestoreTargetRequiredError as MPARestoreTargetRequiredError,
)
from linen_core.errors._checkpoints import TraverseTreeError as TraverseTreeError
from linen_core.errors._layers import DropoutRateError as DropoutRateError
from linen_core.errors._layers import Fp8DtypeError as Fp8DtypeError
from linen_core.errors._layers import InexactDtypeError as InexactDtypeError
from linen_core.errors._layers import LayerArgumentError as LayerArgumentError
from linen_core.errors._layers import LayerRankError as LayerRankError
from linen_core.errors._layers import LayerShapeError as LayerShapeError
from linen_core.errors._layers import MaskShapeError as MaskShapeError
from linen_core.errors._layers import PaddingWordError as PaddingWordError
from linen_core.errors._layers import UnboundAxisError as UnboundAxisError
from linen_core.errors._layers import UnsupportedArgumentError as UnsupportedArgumentError
from linen_core.errors._modules import (
    ApplyModuleInvalidMethodError as ApplyModuleInvalidMethodError,
)
from linen_core.errors._modules import AssignSubModuleError as AssignSubModuleError
from linen_core.errors._modules import (
    CallCompactUnboundModuleError as CallCompactUnboundModuleError,
)
from linen_core.errors._modules import CallSetupUnboundModuleError as CallSetupUnboundModuleError
from linen_core.errors._modules import (
    CallShareScopeOnUnboundModuleError as CallShareScopeOnUnboundModuleError,
)
from linen_core.errors._modules import (
    CallUnbindOnUnboundModuleError as CallUnbindOnUnboundModuleError,
)
from linen_core.errors._modules import DescriptorAttributeError as DescriptorAttributeError
from linen_core.errors._modules import (
    IncorrectPostInitOverrideError as IncorrectPostInitOverrideError,
)
from linen_core.errors._modules import InvalidInstanceModuleError as InvalidInstanceModuleError
from linen_core.errors._modules import MultipleMethodsCompactError as MultipleMethodsCompactError
from linen_core.errors._modules import NameInUseError as NameInUseError
from linen_core.errors._modules import ReservedModuleAttributeError as ReservedModuleAttributeError
from linen_core.errors._modules import (
    SetAttributeFrozenModuleError as SetAttributeFrozenModuleError,
)
from linen_core.errors._modules import (
    SetAttributeInModuleSetupError as SetAttributeInModuleSetupError,
)
from linen_core.errors._scopes import (
    ApplyScopeInvalidVariablesStructureError as ApplyScopeInvalidVariablesStructureError,
)
from linen_core.errors._scopes import (
    ApplyScopeInvalidVariablesTypeError as ApplyScopeInvalidVariablesTypeError,
)
from linen_core.errors._scopes import ImmutableVariableError as ImmutableVariableError
from linen_core.errors._scopes import InvalidFilterError as InvalidFilterError
from linen_core.errors._scopes import InvalidRngError as InvalidRngError
from linen_core.errors._scopes import InvalidScopeError as InvalidScopeError
from linen_core.errors._scopes import LazyInitError as LazyInitError
from linen_core.errors._scopes import ModifyScopeVariableError as ModifyScopeVariableError
from linen_core.errors._scopes import ScopeCollectionNotFound as ScopeCollectionNotFound
from linen_core.errors._scopes import ScopeParamNotFoundError as ScopeParamNotFoundError
from linen_core.errors._scopes import ScopeParamShapeError as ScopeParamShapeError
from linen_core.errors._scopes import ScopeVariableNotFoundError as ScopeVariableNotFoundError
from linen_core.errors._stores import InvalidStoreError as InvalidStoreError
from linen_core.errors._stores import LazyStoreTracedError as LazyStoreTracedError
from linen_core.errors._stores import StoreClosedError as StoreClosedError
from linen_core.errors._stores import StoreError as StoreError
from linen_core.errors._stores import StorePathError as StorePathError
from linen_core.errors._stores import StoreReadOnlyError as StoreReadOnlyError
from linen_core.errors._stores import StoreTestsError as StoreTestsError
from linen_core.errors._stores import StoreTracedError as StoreTracedError
from linen_core.errors._stores import UnknownStoreError as UnknownStoreError
from linen_core.errors._transforms import JaxTransformError as JaxTransformError
from linen_core.errors._transforms import MissingRngSplitError as MissingRngSplitError
from linen_core.errors._transforms import (
    PartitioningUnspecifiedError as PartitioningUnspecifiedError,
)
from linen_core.errors._transforms import ScanCarryError as ScanCarryError
from linen_core.errors._transforms import StaticArgumentError as StaticArgumentError
from linen_core.errors._transforms import TraceContextError as TraceContextError
from linen_core.errors._transforms import TracedFlagError as TracedFlagError
from linen_core.errors._transforms import TracedWriteError as TracedWriteError
from linen_core.errors._transforms import TransformAxisError as TransformAxisError
from linen_core.errors._transforms import (
    TransformedMethodReturnValueError as TransformedMethodReturnValueError,
)
from linen_core.errors._transforms import TransformTargetError as TransformTargetError
from linen_core.errors._transforms import UnknownAxisError as UnknownAxisError
from linen_core.errors._transforms import UnknownMeshAxisError as UnknownMeshAxisError
from linen_core.errors._transforms import UnliftedCollectionError as UnliftedCollectionError
from linen_core.errors._transforms import UnliftedWriteError as UnliftedWriteError
from linen_core.errors._transforms import UnmappedCollectionError as UnmappedCollectionError

__all__ = [
    "AlreadyExistsError",
    "ApplyModuleInvalidMethodError",
    "ApplyScopeInvalidVariablesStructureError",
    "ApplyScopeInvalidVariablesTypeError",
    "AssignSubModuleError",
    "CallCompactUnboundModuleError",
    "CallSetupUnboundModuleError",
    "CallShareScopeOnUnboundModuleError",
    "CallUnbindOnUnboundModuleError",
    "CursorFindError",
    "DescriptorAttributeError",
    "DropoutRateError",
    "FlaxError",
    "Fp8DtypeError",
    "ImmutableVariableError",
    "IncorrectPostInitOverrideError",
    "InexactDtypeError",
    "InvalidCheckpointError",
    "InvalidFilterError",
    "InvalidInstanceModuleError",
    "InvalidRngError",
    "InvalidScopeError",
    "InvalidStoreError",
    "JaxTransformError",
    "LayerArgumentError",
    "LayerRankError",
    "LayerShapeError",
    "LazyInitError",
    "LazyStoreTracedError",
    "LinenError",
    "MPACheckpointingRequiredError",
    "MPARestoreDataCorruptedError",
    "MPARestoreTargetRequiredError",
    "MissingRngSplitError",
    "ModifyScopeVariableError",
    "MultipleMethodsCompactError",
    "NameInUseError",
    "PaddingWordError",
    "PartitioningUnspecifiedError",
    "ReservedModuleAttributeError",
    "ScanCarryError",
    "ScopeCollectionNotFound",
    "ScopeParamNotFoundError",
    "ScopeParamShapeError",
    "ScopeVariableNotFoundError",
    "SetAttributeFrozenModuleError",
    "SetAttributeInModuleSetupError",
    "StaticArgumentError",
    "StoreClosedError",
    "StoreError",
    "StorePathError",
    "StoreReadOnlyError",
    "StoreTestsError",
    "StoreTracedError",
    "TraceContextError",
    "TracedFlagError",
    "TracedWriteError",
    "TransformAxisError",
    "TransformTargetError",
    "TransformedMethodReturnValueError",
    "TraverseTreeError",
    "UnboundAxisError",
    "UnknownAxisError",
    "UnknownMeshAxisError",
    "UnknownStoreError",
    "UnliftedCollectionError",
    "UnliftedWriteError",
    "UnmappedCollectionError",
    "UnsupportedArgumentError",
]

# Users know the errors by this module, and so do tracebacks and pickles.
for _public in __all__:
    globals()[_public].__module__ = __name__
