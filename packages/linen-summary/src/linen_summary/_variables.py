"""Which variables belong to which call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from linen_core.typing import Path
from linen_summary._values import has_items

__all__ = ["own_variables", "variables_at"]


def variables_at(path: Path, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return what lies at a path, by collection; collections without it are left out."""
    found = {}
    for name, collection in variables.items():
        node = collection
        for part in path:
            if not isinstance(node, Mapping) or part not in node:
                break
            node = node[part]
        else:
            found[name] = node
    return found


def own_variables(
    path: Path, variables: Mapping[str, Any], owners: Collection[Path]
) -> dict[str, Any]:
    """Return what lies at a path without what lies at a path of other owners below it."""
    return {
        name: _without(path, node, owners) for name, node in variables_at(path, variables).items()
    }


def _without(path: Path, node: Any, owners: Collection[Path]) -> Any:
    if not isinstance(node, Mapping):
        return node
    kept = {}
    for name, child in node.items():
        below = (*path, name)
        if below in owners and isinstance(child, Mapping):
            continue
        rest = _without(below, child, owners)
        if has_items(rest) or not has_items(child):
            kept[name] = rest
    return kept
