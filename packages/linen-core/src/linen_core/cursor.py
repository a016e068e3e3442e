"""Changes deep inside immutable trees, with the names of ``flax.cursor``.

A `Cursor` is a position in a tree of dicts, lists, tuples, named tuples and dataclasses. It records changes, and
`Cursor.build` makes a changed copy of the tree.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeGuard, TypeVar, cast

from linen_core.errors import CursorFindError

__all__ = ["Cursor", "cursor"]

T = TypeVar("T")


class _Step(NamedTuple):
    """The way from a node to a child."""

    key: Any
    is_attribute: bool

    def of(self, node: Any) -> Any:
        return getattr(node, self.key) if self.is_attribute else node[self.key]

    def put(self, node: Any, value: object) -> None:
        if self.is_attribute:
            setattr(node, self.key, value)
        else:
            node[self.key] = value


def _forward(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that calls a function with the object in place of the cursor."""
    return lambda self, *args: function(vars(self)["_obj"], *args)


def _reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method of an operator whose right operand is the cursor."""
    return lambda self, other: function(other, vars(self)["_obj"])


class Cursor(Generic[T]):
    """A position in a tree, made by `cursor`.

    Items and attributes of the object are cursors too. Operators work on the object, so ``c["a"] += 1`` records a
    change. Iteration is over the items of a list or tuple.

    An object that is neither a mapping, list, tuple nor dataclass can be replaced, but changes inside it are ignored.

    Raises:
      KeyError: the mapping does not have the key.
      AttributeError: the object does not have the attribute.
      TypeError: the object has no items.
      NotImplementedError: in iteration, if the object is neither a list nor a tuple.

    Example:
      >>> c = cursor({"a": 1, "b": (2, 3)})
      >>> c["b"][0] = 10
      >>> c["a"] += 1
      >>> c.build()
      {'a': 2, 'b': (10, 3)}
    """

    _obj: T
    _parent: tuple[Cursor[Any], _Step] | None
    _changes: dict[Any, Cursor[Any]]

    def __init__(self, obj: T, parent_key: tuple[Cursor[Any], _Step] | None = None) -> None:
        vars(self).update(_obj=obj, _parent=parent_key, _changes={})

    @property
    def _path(self) -> str:
        """The path from the root, as in Python: ``"['b'][0]"``."""
        if self._parent is None:
            return ""
        above, step = self._parent
        if step.is_attribute:
            return f"{above._path}.{step.key}"
        key = f"'{step.key}'" if isinstance(step.key, str) else step.key
        return f"{above._path}[{key}]"

    def __getitem__(self, key: Any) -> Cursor[Any]:
        if key in self._changes:
            return self._changes[key]
        if not hasattr(self._obj, "__getitem__"):
            msg = f"Cannot read {self._path or 'the tree'}[{key!r}]: a {type(self._obj).__name__} has no items."
            raise TypeError(msg)
        if isinstance(self._obj, Mapping) and key not in self._obj:
            names = ", ".join(map(repr, self._obj))
            msg = f"Cannot read {self._path}[{key!r}]: the keys are {names or 'none'}."
            raise KeyError(msg)
        if _has_fields(self._obj):
            return cast("Cursor[Any]", getattr(self, self._obj._fields[key]))
        return self._child(_Step(key, is_attribute=False), self._obj[key])

    def __getattr__(self, name: str) -> Cursor[Any]:
        if name in self._changes:
            return self._changes[name]
        if not hasattr(self._obj, name):
            msg = f"Cannot read {self._path}.{name}: a {type(self._obj).__name__} has no such attribute."
            raise AttributeError(msg, name=name, obj=self)
        return self._child(_Step(name, is_attribute=True), getattr(self._obj, name))

    def __setitem__(self, key: Any, value: object) -> None:
        if _has_fields(self._obj):
            setattr(self, self._obj._fields[key], value)
        else:
            self._child(_Step(key, is_attribute=False), value)

    def __setattr__(self, name: str, value: object) -> None:
        self._child(_Step(name, is_attribute=True), value)

    def _child(self, step: _Step, value: Any) -> Cursor[Any]:
        """Record the cursor of a child."""
        child = self._changes[step.key] = Cursor(value, (self, step))
        return child

    def set(self, value: object) -> Any:
        """Return a copy of the whole tree in which this object is replaced.

        Example:
          >>> cursor({"a": 1, "b": (2, 3)})["b"][0].set(10)
          {'a': 1, 'b': (10, 3)}
        """
        if self._parent is None:
            return value
        above, step = self._parent
        above._child(step, value)
        while above._parent is not None:
            above = above._parent[0]
        return above.build()

    def build(self) -> T:
        """Return a copy of the object with all changes that were recorded below it.

        Example:
          >>> c = cursor([1, [2, 3]])
          >>> c[1][0] = 4
          >>> c.build()
          [1, [4, 3]]
        """
        obj: Any = self._obj
        changes = {key: child.build() for key, child in self._changes.items()}
        if _is_frozen_dict(obj):
            return cast("T", obj.copy(changes))
        if _has_fields(obj):
            return cast("T", obj._replace(**changes))
        if isinstance(obj, dict | list | tuple):
            built: Any = list(obj) if isinstance(obj, tuple) else obj.copy()
            for key, value in changes.items():
                built[key] = value
            return cast("T", tuple(built) if isinstance(obj, tuple) else built)
        if dataclasses.is_dataclass(obj):
            return cast("T", dataclasses.replace(obj, **changes))  # type: ignore[type-var]
        return cast("T", obj)

    def apply_update(self, update_fn: Callable[[str, Any], Any]) -> Cursor[T]:
        """Record a change wherever a function returns another object than it was given.

        Args:
          update_fn: gets the path of each object below this one, with ``/`` between keys, and the object; returns the
            same object, or one to replace it. It is not called for objects below one that is replaced.

        Returns:
          This cursor.

        Example:
          >>> params = {"Dense_0": {"kernel": 2, "bias": 1}}
          >>> cursor(params).apply_update(lambda path, x: x * 10 if path.endswith("kernel") else x).build()
          {'Dense_0': {'kernel': 20, 'bias': 1}}
        """
        changed: list[tuple[tuple[_Step, ...], Any]] = []

        def is_changed(path: tuple[_Step, ...], obj: Any) -> bool:
            new = update_fn(_text_of(path), obj)
            if new is not obj:
                changed.append((path, new))
            return new is not obj

        for _ in _find_paths(self._obj, is_changed):
            pass
        for path, value in changed:
            path[-1].put(_follow(self, path[:-1]), value)
        return self

    def find(self, cond_fn: Callable[[str, Any], bool]) -> Cursor[Any]:
        """Return the one object below this one that fulfils a condition; see `find_all`.

        Raises:
          CursorFindError: none or several objects fulfil it.

        Example:
          >>> cursor({"a": {"b": 1}}).find(lambda path, x: path.endswith("b")).set(2)
          {'a': {'b': 2}}
        """
        found = list(self.find_all(cond_fn))
        if len(found) != 1:
            raise CursorFindError(*found[:2])
        return found[0]

    def find_all(self, cond_fn: Callable[[str, Any], bool]) -> Iterator[Cursor[Any]]:
        """Yield the objects below this one that fulfil a condition.

        Args:
          cond_fn: gets the path of an object, with ``/`` between keys, and the object. It is not called for objects
            below one that is found.

        Example:
          >>> c = cursor({"a": 1, "b": [2, "x"]})
          >>> for number in c.find_all(lambda path, x: isinstance(x, int)):
          ...     _ = number.set(0)
          >>> c.build()
          {'a': 0, 'b': [0, 'x']}
        """
        for path in _find_paths(self._obj, lambda path, obj: cond_fn(_text_of(path), obj)):
            yield _follow(self, path)

    def __repr__(self) -> str:
        return _show(self, 0)

    def __iter__(self) -> Iterator[Cursor[Any]]:
        return (self[index] for index in self._indices())

    def __reversed__(self) -> Iterator[Cursor[Any]]:
        return (self[index] for index in reversed(self._indices()))

    def _indices(self) -> range:
        if not isinstance(self._obj, tuple | list):
            msg = (
                f"Cannot iterate over a {type(self._obj).__name__}. Iterate over a list or a tuple."
            )
            raise NotImplementedError(msg)
        return range(len(self._obj))

    __str__ = _forward(str)
    __len__ = _forward(len)
    __add__, __radd__ = _forward(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _forward(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _forward(operator.mul), _reflected(operator.mul)
    __matmul__, __rmatmul__ = _forward(operator.matmul), _reflected(operator.matmul)
    __truediv__, __rtruediv__ = _forward(operator.truediv), _reflected(operator.truediv)
    __floordiv__, __rfloordiv__ = _forward(operator.floordiv), _reflected(operator.floordiv)
    __mod__, __rmod__ = _forward(operator.mod), _reflected(operator.mod)
    __divmod__, __rdivmod__ = _forward(divmod), _reflected(divmod)
    __pow__, __rpow__ = _forward(pow), _reflected(pow)
    __lshift__, __rlshift__ = _forward(operator.lshift), _reflected(operator.lshift)
    __rshift__, __rrshift__ = _forward(operator.rshift), _reflected(operator.rshift)
    __and__, __rand__ = _forward(operator.and_), _reflected(operator.and_)
    __xor__, __rxor__ = _forward(operator.xor), _reflected(operator.xor)
    __or__, __ror__ = _forward(operator.or_), _reflected(operator.or_)
    __neg__, __pos__ = _forward(operator.neg), _forward(operator.pos)
    __abs__, __invert__ = _forward(abs), _forward(operator.invert)
    __round__ = _forward(round)
    __lt__, __le__ = _forward(operator.lt), _forward(operator.le)
    __gt__, __ge__ = _forward(operator.gt), _forward(operator.ge)
    __eq__, __ne__ = _forward(operator.eq), _forward(operator.ne)
    __hash__ = None  # type: ignore[assignment] # it compares like an object that may change


def cursor(obj: T) -> Cursor[T]:
    """Return a cursor at the root of a tree.

    Args:
      obj: a tree of dicts, FrozenDicts, lists, tuples, named tuples and dataclasses. It is never changed.

    Example:
      >>> import linen_core as nn
      >>> cursor(nn.Dense(3)).features.set(4).features
      4
    """
    return Cursor(obj)


def _has_fields(obj: Any) -> TypeGuard[Any]:
    return isinstance(obj, tuple) and hasattr(obj, "_fields")


def _is_frozen_dict(obj: Any) -> bool:
    """Return whether an object is a FrozenDict of linen-store or flax, which need not be installed."""
    return isinstance(obj, Mapping) and hasattr(obj, "unfreeze")


def _steps_below(obj: Any) -> Iterator[tuple[_Step, Any]]:
    if isinstance(obj, dict) or _is_frozen_dict(obj):
        pairs: Any = obj.items()
    elif not _has_fields(obj) and isinstance(obj, list | tuple):
        pairs = enumerate(obj)
    else:
        is_dataclass = dataclasses.is_dataclass(obj)
        names = [f.name for f in dataclasses.fields(obj) if f.init] if is_dataclass else ()
        for name in getattr(obj, "_fields", ()) if _has_fields(obj) else names:
            yield _Step(name, is_attribute=True), getattr(obj, name)
        return
    for key, value in pairs:
        yield _Step(key, is_attribute=False), value


def _find_paths(
    obj: Any, stops: Callable[[tuple[_Step, ...], Any], bool], path: tuple[_Step, ...] = ()
) -> Iterator[tuple[_Step, ...]]:
    """Yield the paths of the objects below one for which a condition holds, and go no deeper there."""
    for step, child in _steps_below(obj):
        below = (*path, step)
        if stops(below, child):
            yield below
        else:
            yield from _find_paths(child, stops, below)


def _follow(start: Cursor[Any], path: tuple[_Step, ...]) -> Cursor[Any]:
    for step in path:
        start = step.of(start)
    return start


def _text_of(path: tuple[_Step, ...]) -> str:
    return "/".join(str(step.key) for step in path)


def _show(one: Cursor[Any], column: int) -> str:
    margin, inner = " " * column, " " * (column + 2)
    obj = repr(one._obj).replace("\n", f"\n{inner}")
    entries = []
    for key, child in one._changes.items():
        start = f"{inner}  {key!r}: "
        entries.append(start + _show(child, len(start)))
    changes = "{\n" + ",\n".join(entries) + f"\n{inner}}}" if entries else "{}"
    return f"Cursor(\n{inner}_obj={obj},\n{inner}_changes={changes}\n{margin})"
