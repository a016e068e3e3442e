"""Names for annotations; flax is only imported by type checkers."""
from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Mapping, Union

if TYPE_CHECKING:
    from flax.core import FrozenDict
    from flax.core.scope import VariableDict

if typing.TYPE_CHECKING:
    import flax.linen as nn

Params = Union["FrozenDict", Mapping[str, Any]]


def count(params: Params, module: nn.Module | None = None) -> int:
    """Count the parameters of a tree."""
    import jax

    variables: VariableDict = {"params": params}
    return sum(leaf.size for leaf in jax.tree_util.tree_leaves(variables))
