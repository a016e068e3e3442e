"""Flatten, unflatten and map nested dicts by path; traversals select and update parts of any structure."""

from __future__ import annotations

import abc
import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from linen_core import struct
from linen_core.typing import PyTree

__all__ = [
    "ModelParamTraversal",
    "Traversal",
    "TraverseAttr",
    "TraverseCompose",
    "TraverseEach",
    "TraverseFilter",
    "TraverseId",
    "TraverseItem",
    "TraverseMerge",
    "TraverseTree",
    "_EmptyNode",
    "_get_params_dict",
    "_sorted_items",
    "empty_node",
    "flatten_dict",
    "path_aware_map",
    "t_identity",
    "unflatten_dict",
]


@struct.dataclass
class _EmptyNode:
    """Represents an empty dict among the values of a flat dict.

    Example:
      >>> flatten_dict({"a": {}}, keep_empty_nodes=True)
      {('a',): _EmptyNode()}
    """


empty_node = _EmptyNode()
"""Value of an empty dict in the result of `flatten_dict` with ``keep_empty_nodes=True``."""


def flatten_dict(
    xs: Mapping[Any, Any],
    keep_empty_nodes: bool = False,
    is_leaf: Callable[[tuple[Any, ...], Any], bool] | None = None,
    sep: str | None = None,
) -> dict[Any, Any]:
    """Flatten nested mappings into one dict from paths to values.

    Args:
      xs: the nested mapping.
      keep_empty_nodes: keep an empty mapping below the top level as `empty_node`; otherwise it is dropped.
      is_leaf: ``is_leaf(path, mapping)`` returns whether a mapping is a value and is not flattened.
      sep: joins the names of a path into a string; paths are tuples if None.

    Raises:
      AssertionError: ``xs`` is not a mapping.

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
    node: PyTree,
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
      sep: the separator of the names in a path; paths are tuples if None.

    Raises:
      AssertionError: ``xs`` is not a mapping.

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


class Traversal(abc.ABC):
    """Selects parts of a structure, to read them or to create a copy with other values.

    Attributes and items of a traversal are traversals of the selected parts:
    ``t_identity["layers"].each()["kernel"]``.

    Example:
      >>> kernels = t_identity["layers"].each()["kernel"]
      >>> model = {"layers": [{"kernel": 1, "bias": 2}, {"kernel": 3, "bias": 4}]}
      >>> list(kernels.iterate(model))
      [1, 3]
      >>> kernels.set([5, 6], model)
      {'layers': [{'kernel': 5, 'bias': 2}, {'kernel': 6, 'bias': 4}]}
    """

    @abc.abstractmethod
    def update(self, fn: Callable[[Any], Any], inputs: PyTree) -> Any:
        """Return a copy of ``inputs`` with ``fn`` applied to each selected part.

        Example:
          >>> t_identity.each().update(lambda x: -x, [1, 2])
          [-1, -2]
        """

    @abc.abstractmethod
    def iterate(self, inputs: PyTree) -> Iterator[Any]:
        """Yield the selected parts of ``inputs``.

        Example:
          >>> list(t_identity.each().iterate([1, 2]))
          [1, 2]
        """

    def set(self, values: list[Any], inputs: PyTree) -> Any:
        """Return a copy of ``inputs`` with ``values`` in place of the selected parts; the list is emptied.

        Raises:
          ValueError: the number of parts differs from the number of values.

        Example:
          >>> t_identity.each().set([3, 4], [1, 2])
          [3, 4]
        """
        count = len(values)

        def replace(_: object) -> Any:
            if not values:
                msg = f"Not enough values: found {count}, but the traversal selects more parts."
                raise ValueError(msg)
            return values.pop(0)

        result = self.update(replace, inputs)
        if values:
            parts = count - len(values)
            msg = f"Too many values: found {count}, but the traversal selects {parts} parts."
            raise ValueError(msg)
        return result

    def compose(self, other: Traversal) -> Traversal:
        """Apply ``other`` to each part that this traversal selects.

        Example:
          >>> list(t_identity.each().compose(TraverseItem(0)).iterate([(1, 2), (3, 4)]))
          [1, 3]
        """
        return TraverseCompose(self, other)

    def merge(self, *traversals: Traversal) -> Traversal:
        """Apply several traversals, one after another, to each part that this traversal selects.

        Example:
          >>> list(t_identity.merge(TraverseItem("a"), TraverseItem("c")).iterate({"a": 1, "b": 2, "c": 3}))
          [1, 3]
        """
        return self.compose(TraverseMerge(*traversals))

    def each(self) -> Traversal:
        """Select every entry of a list, a tuple or a dict.

        Example:
          >>> t_identity.each().update(str, {"a": 1, "b": 2})
          {'a': '1', 'b': '2'}
        """
        return self.compose(TraverseEach())

    def tree(self) -> Traversal:
        """Select every leaf of a pytree.

        Example:
          >>> list(t_identity.tree().iterate({"a": [1, 2], "b": 3}))
          [1, 2, 3]
        """
        return self.compose(TraverseTree())

    def filter(self, fn: Callable[[Any], bool]) -> Traversal:
        """Select only the parts for which ``fn(part)`` is true.

        Example:
          >>> t_identity.each().filter(lambda x: x > 1).update(lambda x: 0, [1, 2, 3])
          [1, 0, 0]
        """
        return self.compose(TraverseFilter(fn))

    def __getattr__(self, attr: str) -> Traversal:
        if attr.startswith("__"):  # copy and pickle look for optional methods
            raise AttributeError(attr)
        return self.compose(TraverseAttr(attr))

    def __getitem__(self, key: object) -> Traversal:
        return self.compose(TraverseItem(key))


class TraverseId(Traversal):
    """Selects the whole structure; the start of every traversal.

    Example:
      >>> list(TraverseId().iterate([1, 2]))
      [[1, 2]]
    """

    def update(self, fn: Callable[[Any], Any], inputs: PyTree) -> Any:
        return fn(inputs)

    def iterate(self, inputs: PyTree) -> Iterator[Any]:
        yield inputs


t_identity = TraverseId()
"""Selects the whole structure; the start of every traversal."""


class TraverseMerge(Traversal):
    """Applies several traversals, one after another.

    Example:
      >>> list(TraverseMerge(TraverseItem(0), TraverseItem(2)).iterate("abc"))
      ['a', 'c']
    """

    def __init__(self, *traversals: Traversal) -> None:
        self._traversals = traversals

    def update(self, fn: Callable[[Any], Any], inputs: PyTree) -> Any:
        for traversal in self._traversals:
            inputs = traversal.update(fn, inputs)
        return inputs

    def iterate(self, inputs: PyTree) -> Iterator[Any]:
        for traversal in self._traversals:
            yield from traversal.iterate(inputs)


class TraverseCompose(Traversal):
    """Applies ``y`` to each part that ``x`` selects.

    Example:
      >>> list(TraverseCompose(TraverseEach(), TraverseItem(1)).iterate(["ab", "cd"]))
      ['b', 'd']
    """

    def __init__(self, x: Traversal, y: Traversal) -> None:
        self._x = x
        self._y = y

    def update(self, fn: Callable[[Any], Any], inputs: PyTree) -> Any:
        return self._x.update(lambda part: self._y.update(fn, part), inputs)

    def iterate(self, inputs: PyTree) -> Iterator[Any]:
        for part in self._x.iterate(inputs):
            yield from self._y.iterate(part)


class TraverseFilter(Traversal):
    """Selects the whole structure if ``fn(structure)`` is true, and nothing otherwise.

    Example:
      >>> list(TraverseFilter(bool).iterate(0))
      []
    """

    def __init__(self, fn: Callable[[Any], bool]) -> None:
        self._fn = fn

    def update(self, fn: Callable[[Any], Any], inputs: PyTree) -> Any:
        return fn(inputs) if self._fn(inputs) else inputs

    def iterate(self, inputs: PyTree) -> Iterator[Any]:
        if self._fn(inputs):
            yield inputs


class TraverseAttr(Traversal):
    """Selects an attribute of an object; `update` keeps the type of dataclasses and named tuples.

    Example:
      >>> list(TraverseAttr("real").iterate(3 + 4j))
      [3.0]
    """

    def __init__(self, attr: str) -> None:
        self._attr = attr

    def update(self, fn: Callable[[Any], Any], inputs: PyTree) -> Any:
        changed = {self._attr: fn(getattr(inputs, self._attr))}
        if isinstance(inputs, tuple) and hasattr(inputs, "_replace"):
            return inputs._replace(**changed)
        if dataclasses.is_dataclass(inputs) and not isinstance(inputs, type):
            return dataclasses.replace(inputs, **changed)
        result = copy.copy(inputs)
        setattr(result, self._attr, changed[self._attr])
        return result

    def iterate(self, inputs: PyTree) -> Iterator[Any]:
        yield getattr(inputs, self._attr)


class TraverseItem(Traversal):
    """Selects an item of a container by its key or index, or several items of a tuple by a slice.

    Example:
      >>> TraverseItem(slice(1, 3)).update(lambda x: 0, (1, 2, 3))
      (1, 0, 0)
    """

    def __init__(self, key: object) -> None:
        self._key: Any = key

    def update(self, fn: Callable[[Any], Any], inputs: PyTree) -> Any:
        if not isinstance(inputs, tuple):
            result = copy.copy(inputs)
            result[self._key] = fn(result[self._key])
            return result
        selected = self._key if isinstance(self._key, slice) else slice(self._key, self._key + 1)
        indices = range(*selected.indices(len(inputs)))
        items = [fn(item) if i in indices else item for i, item in enumerate(inputs)]
        return type(inputs)(*items) if hasattr(inputs, "_fields") else type(inputs)(items)

    def iterate(self, inputs: PyTree) -> Iterator[Any]:
        if isinstance(self._key, slice):
            yield from inputs[self._key]
        else:
            yield inputs[self._key]


class TraverseEach(Traversal):
    """Selects every entry of a list, a tuple or a dict.

    Raises:
      ValueError: from `update`, for any other container.

    Example:
      >>> TraverseEach().update(lambda x: x + 1, (1, 2))
      (2, 3)
    """

    def update(self, fn: Callable[[Any], Any], inputs: PyTree) -> Any:
        if type(inputs) is dict:
            return {key: fn(value) for key, value in inputs.items()}
        if type(inputs) not in (list, tuple):
            msg = f"Expected a list, a tuple or a dict, found {type(inputs).__name__}."
            raise ValueError(msg)
        return type(inputs)(fn(item) for item in inputs)

    def iterate(self, inputs: PyTree) -> Iterator[Any]:
        yield from inputs.values() if isinstance(inputs, dict) else inputs


class TraverseTree(Traversal):
    """Selects every leaf of a pytree.

    Example:
      >>> TraverseTree().update(lambda x: x + 1, {"a": [1, 2]})
      {'a': [2, 3]}
    """

    def update(self, fn: Callable[[Any], Any], inputs: PyTree) -> Any:
        return jax.tree_util.tree_map(fn, inputs)

    def iterate(self, inputs: PyTree) -> Iterator[Any]:
        yield from jax.tree_util.tree_leaves(inputs)


class ModelParamTraversal(Traversal):
    """Selects values of a nested dict of parameters by a function of path and value.

    Args:
      filter_fn: ``filter_fn("/path/to/value", value)`` returns whether a value is selected.

    Example:
      >>> kernels = ModelParamTraversal(lambda path, value: path.endswith("/kernel"))
      >>> kernels.update(lambda value: -value, {"dense": {"kernel": 1, "bias": 2}})
      {'dense': {'bias': 2, 'kernel': -1}}
    """

    def __init__(self, filter_fn: Callable[[str, Any], bool]) -> None:
        self._filter_fn = filter_fn

    def iterate(self, inputs: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the selected values in the order of their paths.

        Example:
          >>> biases = ModelParamTraversal(lambda path, value: path.endswith("/bias"))
          >>> list(biases.iterate({"dense": {"kernel": 1, "bias": 2}}))
          [2]
        """
        for path, value in _sorted_items(flatten_dict(_get_params_dict(inputs))):
            if self._filter_fn("/" + "/".join(path), value):
                yield value

    def update(self, fn: Callable[[Any], Any], inputs: Mapping[str, Any]) -> Any:
        """Return ``inputs`` with ``fn`` applied to the selected values, as the same kind of mapping.

        Example:
          >>> biases = ModelParamTraversal(lambda path, value: path.endswith("/bias"))
          >>> biases.update(lambda value: 0, {"dense": {"bias": 2, "kernel": 1}})
          {'dense': {'bias': 0, 'kernel': 1}}
        """
        flat = _sorted_items(flatten_dict(_get_params_dict(inputs), keep_empty_nodes=True))
        updated = unflatten_dict({path: self._updated(fn, path, value) for path, value in flat})
        return updated if isinstance(inputs, dict) else type(inputs)(updated)  # type: ignore[call-arg]

    def _updated(self, fn: Callable[[Any], Any], path: tuple[str, ...], value: PyTree) -> Any:
        selected = value is not empty_node and self._filter_fn("/" + "/".join(path), value)
        return fn(value) if selected else value


def _get_params_dict(inputs: Any) -> Any:
    """Copy a nested mapping to dicts.

    Raises:
      ValueError: ``inputs`` is not a mapping.

    Example:
      >>> import types
      >>> _get_params_dict(types.MappingProxyType({"dense": {"bias": 2}}))
      {'dense': {'bias': 2}}
    """
    if not isinstance(inputs, Mapping):
        msg = f"Expected a nested dict, found {type(inputs).__name__}."
        raise ValueError(msg)
    return {
        name: _get_params_dict(child) if isinstance(child, Mapping) else child
        for name, child in inputs.items()
    }


def _sorted_items(x: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """Return the items of a mapping in the order of their keys.

    Example:
      >>> _sorted_items({"b": 1, "a": 2})
      [('a', 2), ('b', 1)]
    """
    return sorted(x.items(), key=lambda item: item[0])
