"""Nested dicts by path: flatten, unflatten, map, pick."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from linen_core import struct

__all__ = ["ModelParamTraversal", "empty_node", "flatten_dict", "path_aware_map", "unflatten_dict"]


@struct.dataclass
class _EmptyNode:
    """Stands for an empty dict among the values of a flat dict."""


empty_node = _EmptyNode()
"""What `flatten_dict` puts for an empty dict, if asked to keep it."""


def flatten_dict(
    xs: Mapping[Any, Any],
    keep_empty_nodes: bool = False,
    is_leaf: Callable[[tuple[Any, ...], Any], bool] | None = None,
    sep: str | None = None,
) -> dict[Any, Any]:
    """Flatten nested mappings into one dict from paths to values.

    Args:
      xs: the nested mapping.
      keep_empty_nodes: whether an empty mapping below the top becomes `empty_node` instead of nothing.
      is_leaf: ``is_leaf(path, mapping)`` says that a mapping is to be taken as a value.
      sep: joins the names of a path into a string; paths are tuples if None.

    Raises:
      AssertionError: ``xs`` is no mapping.

    Example:
      >>> flatten_dict({"a": {"b": 1}, "c": {}}, keep_empty_nodes=False)
      {('a', 'b'): 1}
      >>> flatten_dict({"a": {"b": 1}}, sep="/")
      {'a/b': 1}
    """
    if not isinstance(xs, Mapping):
        msg = f"Expected a nested dict, found {type(xs).__name__}."
        raise AssertionError(msg)
    walk = _walk(xs, (), keep_empty_nodes, is_leaf)
    return {path if sep is None else sep.join(path): value for path, value in walk}


def _walk(
    node: Any,
    path: tuple[Any, ...],
    keep_empty_nodes: bool,
    is_leaf: Callable[[tuple[Any, ...], Any], bool] | None,
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if not isinstance(node, Mapping) or (is_leaf is not None and is_leaf(path, node)):
        yield path, node
        return
    for name, child in node.items():
        yield from _walk(child, (*path, name), keep_empty_nodes, is_leaf)
    if keep_empty_nodes and path and not node:
        yield path, empty_node


def unflatten_dict(xs: Mapping[Any, Any], sep: str | None = None) -> dict[Any, Any]:
    """Build a nested dict from a dict of paths.

    Args:
      xs: values by path.
      sep: what the names of a path are joined by; paths are tuples if None.

    Raises:
      AssertionError: ``xs`` is no dict.

    Example:
      >>> unflatten_dict({("a", "b"): 1, ("c",): empty_node})
      {'a': {'b': 1}, 'c': {}}
    """
    if not isinstance(xs, Mapping):
        msg = f"Expected a dict from paths to values, found {type(xs).__name__}."
        raise AssertionError(msg)
    result: dict[Any, Any] = {}
    for key, value in xs.items():
        path = key if sep is None else key.split(sep)
        node = result
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = {} if value is empty_node else value
    return result


def path_aware_map(
    f: Callable[[tuple[Any, ...], Any], Any], nested_dict: Mapping[Any, Any]
) -> dict[Any, Any]:
    """Replace each value of a nested dict by ``f(path, value)``.

    Example:
      >>> path_aware_map(lambda path, value: "/".join(path), {"a": {"b": 1}})
      {'a': {'b': 'a/b'}}
    """
    flat = flatten_dict(nested_dict, keep_empty_nodes=True)
    return unflatten_dict({path: v if v is empty_node else f(path, v) for path, v in flat.items()})


class ModelParamTraversal:
    """Picks values of a nested dict by a function of path and value.

    Args:
      filter_fn: ``filter_fn("/path/to/value", value)`` says whether a value is picked.

    Example:
      >>> kernels = ModelParamTraversal(lambda path, value: path.endswith("/kernel"))
      >>> kernels.update(lambda value: -value, {"dense": {"kernel": 1, "bias": 2}})
      {'dense': {'bias': 2, 'kernel': -1}}
    """

    def __init__(self, filter_fn: Callable[[str, Any], bool]) -> None:
        self._filter_fn = filter_fn

    def iterate(self, inputs: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the picked values, in the order of their paths."""
        for path, value in sorted(flatten_dict(_checked(inputs)).items(), key=_by_path):
            if self._filter_fn("/" + "/".join(path), value):
                yield value

    def update(self, fn: Callable[[Any], Any], inputs: Mapping[str, Any]) -> Any:
        """Return ``inputs`` with ``fn`` applied to the picked values, as the same kind of mapping."""
        flat = sorted(flatten_dict(_checked(inputs), keep_empty_nodes=True).items(), key=_by_path)
        updated = unflatten_dict({path: self._updated(fn, path, value) for path, value in flat})
        return updated if isinstance(inputs, dict) else type(inputs)(updated)  # type: ignore[call-arg]

    def _updated(self, fn: Callable[[Any], Any], path: tuple[str, ...], value: Any) -> Any:
        picked = value is not empty_node and self._filter_fn("/" + "/".join(path), value)
        return fn(value) if picked else value


def _by_path(item: tuple[tuple[str, ...], Any]) -> tuple[str, ...]:
    return item[0]


def _checked(inputs: Any) -> Mapping[str, Any]:
    if not isinstance(inputs, Mapping):
        msg = f"Can pick values of nested dicts only, found {type(inputs).__name__}."
        raise ValueError(msg)
    return inputs
