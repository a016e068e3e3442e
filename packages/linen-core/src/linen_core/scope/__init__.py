"""Scope, Variable and the functional API for functions of a scope, with the types of their signatures."""

from linen_core.filters import CollectionFilter as CollectionFilter
from linen_core.filters import DenyList as DenyList
from linen_core.filters import Filter as Filter
from linen_core.filters import PRNGSequenceFilter as PRNGSequenceFilter
from linen_core.filters import filter_to_set as filter_to_set
from linen_core.filters import group_collections as group_collections
from linen_core.filters import in_filter as in_filter
from linen_core.filters import intersect_filters as intersect_filters
from linen_core.filters import is_filter_empty as is_filter_empty
from linen_core.filters import subtract_filters as subtract_filters
from linen_core.filters import union_filters as union_filters
from linen_core.rng import LazyRng as LazyRng
from linen_core.scope.functional import apply as apply
from linen_core.scope.functional import bind as bind
from linen_core.scope.functional import init as init
from linen_core.scope.functional import lazy_init as lazy_init
from linen_core.scope.scope import Scope as Scope
from linen_core.scope.scope import Variable as Variable
from linen_core.typing import Collection as Collection
from linen_core.typing import FrozenVariableDict as FrozenVariableDict
from linen_core.typing import MutableCollection as MutableCollection
from linen_core.typing import MutableVariableDict as MutableVariableDict
from linen_core.typing import PRNGFoldable as PRNGFoldable
from linen_core.typing import PRNGKey as PRNGKey
from linen_core.typing import RNGSequences as RNGSequences
from linen_core.typing import VariableDict as VariableDict

__all__ = [
    "Collection",
    "CollectionFilter",
    "DenyList",
    "Filter",
    "FrozenVariableDict",
    "LazyRng",
    "MutableCollection",
    "MutableVariableDict",
    "PRNGFoldable",
    "PRNGKey",
    "PRNGSequenceFilter",
    "RNGSequences",
    "Scope",
    "Variable",
    "VariableDict",
    "apply",
    "bind",
    "filter_to_set",
    "group_collections",
    "in_filter",
    "init",
    "intersect_filters",
    "is_filter_empty",
    "lazy_init",
    "subtract_filters",
    "union_filters",
]
