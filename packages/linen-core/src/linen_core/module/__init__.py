"""Module, its decorators and the functions that run it."""

from linen_core.module.attributes import freeze_attribute as _freeze_attr
from linen_core.module.base import Module as Module
from linen_core.module.call_stack import call_stack as _context
from linen_core.module.functional import apply as apply
from linen_core.module.functional import init as init
from linen_core.module.functional import init_with_output as init_with_output
from linen_core.module.interceptors import InterceptorContext as InterceptorContext
from linen_core.module.interceptors import disable_named_call as disable_named_call
from linen_core.module.interceptors import enable_named_call as enable_named_call
from linen_core.module.interceptors import intercept_methods as intercept_methods
from linen_core.module.interceptors import override_named_call as override_named_call
from linen_core.module.sharing import compact_name_scope as compact_name_scope
from linen_core.module.sharing import merge_param as merge_param
from linen_core.module.sharing import share_scope as share_scope
from linen_core.module.state import SetupState as SetupState
from linen_core.module.state import UnspecifiedParent as _Sentinel
from linen_core.module.usage import Touched as Touched
from linen_core.module.usage import touched as touched
from linen_core.module.wrapping import compact as compact
from linen_core.module.wrapping import nowrap as nowrap
from linen_core.module.wrapping import wrap_method_once as wrap_method_once
from linen_core.scope.scope import Variable as Variable

__all__ = [
    "InterceptorContext",
    "Module",
    "SetupState",
    "Touched",
    "Variable",
    "_Sentinel",
    "_context",
    "_freeze_attr",
    "apply",
    "compact",
    "compact_name_scope",
    "disable_named_call",
    "enable_named_call",
    "init",
    "init_with_output",
    "intercept_methods",
    "merge_param",
    "nowrap",
    "override_named_call",
    "share_scope",
    "touched",
    "wrap_method_once",
]
