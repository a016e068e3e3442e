"""Scope, Variable and the functional API on plain functions of a scope."""

from linen_core.scope.functional import apply as apply
from linen_core.scope.functional import bind as bind
from linen_core.scope.functional import init as init
from linen_core.scope.functional import lazy_init as lazy_init
from linen_core.scope.scope import Scope as Scope
from linen_core.scope.variable import Variable as Variable

__all__ = [
    "Scope",
    "Variable",
    "apply",
    "bind",
    "init",
    "lazy_init",
]
