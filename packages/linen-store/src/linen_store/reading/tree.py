"""The names in a file, as a tree: it is known before any value is read.

A tree is a dict of names to trees (a node), a tuple or list of trees (a sequence), or a `Leaf`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from linen_store.errors import RootNotFoundError
from linen_store.reading.options import Root

__all__ = [
    "IntegerNames",
    "Kind",
    "Leaf",
    "Tree",
    "build_tree",
    "change_leaves",
    "has_integers",
    "insert",
    "leaves_of",
    "map_leaves",
    "mark_integers",
    "mount",
    "original_keys",
    "paths_of",
    "unbox_nodes",
]

Kind: TypeAlias = Literal["array", "numpy", "scalar", "string", "none"]


class Leaf:
    """One stored value.

    Attributes:
      names: the names that lead to it in the file.
      joined: the name of its array in the file, usually the names joined by dots as Orbax joins them.
      kind: the type of its value: a jax array, a numpy array, a Python number, a string or None.
    """

    # Opening makes one of these for each leaf of a file. A dataclass would take twice the time.
    __slots__ = ("joined", "kind", "names")

    def __init__(
        self, names: tuple[str, ...], kind: Kind = "array", joined: str | None = None
    ) -> None:
        self.names = names
        self.joined = ".".join(names) if joined is None else joined
        self.kind = kind

    def __repr__(self) -> str:
        return f"Leaf({'/'.join(self.names)!r}, {self.kind})"


Tree: TypeAlias = Any
"""A `Leaf`, or a dict, tuple or list of trees."""

_MAX_DEPTH = 400
"""The deepest nesting: walking a deeper tree would exhaust Python's stack."""


class IntegerNames(dict[str, Any]):
    """A node whose names were integers when it was saved. The names of a store are strings."""


class _Items(dict[str, Any]):
    """A sequence under construction: its items by their index, as a string."""


def build_tree(entries: Iterable[tuple[tuple[str, ...], tuple[bool, ...], Tree]]) -> Tree:
    """Build a tree from flat entries.

    An entry is: the names that lead to a leaf; for each name, True if it is the index of a sequence; and the leaf, or
    an empty container. A single entry without names is the whole tree.

    Raises:
      ValueError: the entries contradict each other, or are nested too deeply.
    """
    root: dict[str, Any] = {}
    sequences = False
    for names, indexed, leaf in entries:
        if not names:
            return leaf
        if len(names) > _MAX_DEPTH:
            msg = f"a leaf lies {len(names)} names deep, at most {_MAX_DEPTH} are read"
            raise ValueError(msg)
        sequences |= any(indexed)
        node = root
        for name, is_index in zip(names[:-1], indexed[1:], strict=True):
            child = node.get(name)
            if child is None:
                child = node[name] = _Items() if is_index else {}
            if not isinstance(child, dict):
                msg = f"{name!r} is both a value and a node above {names}"
                raise ValueError(msg)
            node = child
        if names[-1] in node:
            msg = f"{names} is listed twice"
            raise ValueError(msg)
        node[names[-1]] = leaf
        if indexed[0] and not isinstance(root, _Items):
            root = _Items(root)
    return _close_sequences(root) if sequences else root


def _close_sequences(tree: Tree) -> Tree:
    if not isinstance(tree, dict):
        return tree
    closed = {name: _close_sequences(child) for name, child in tree.items()}
    if not isinstance(tree, _Items):
        return closed
    return tuple(closed[name] for name in sorted(closed, key=int))


def map_leaves(function: Callable[[Leaf], Any], tree: Tree) -> Any:
    """Replace each leaf of a tree, keeping the order of names.

    Nodes above a sequence have names, which are strings. Nodes in a sequence are parts of a value, and get the keys
    that were saved.
    """
    if isinstance(tree, dict):
        return {name: map_leaves(function, child) for name, child in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(original_keys(child, map_leaves(function, child)) for child in tree)
    return function(tree)


def has_integers(tree: Tree) -> bool:
    """Return whether there are nodes in a tree whose names were integers."""
    if isinstance(tree, Leaf):
        return False
    children = tree.values() if isinstance(tree, dict) else tree
    return isinstance(tree, IntegerNames) or any(map(has_integers, children))


def original_keys(tree: Tree, values: Any) -> Any:
    """Restore the integer keys that were saved in nested dicts of values."""
    if not isinstance(tree, dict):
        return values
    is_integers = isinstance(tree, IntegerNames)
    return {
        int(name) if is_integers else name: original_keys(child, values[name])
        for name, child in tree.items()
    }


def mark_integers(tree: Tree, nodes: Collection[tuple[str, ...]]) -> Tree:
    """Mark the nodes whose names were integers, given by the names that lead to them."""

    def marked(node: Tree, path: tuple[str, ...]) -> Tree:
        if isinstance(node, tuple | list):
            return type(node)(marked(child, (*path, str(i))) for i, child in enumerate(node))
        if not isinstance(node, dict):
            return node
        kind = IntegerNames if path in nodes and all(map(_is_integer, node)) else dict
        return kind({name: marked(child, (*path, name)) for name, child in node.items()})

    return marked(tree, ()) if nodes else tree


def _is_integer(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def change_leaves(function: Callable[[Leaf], Leaf], tree: Tree) -> Tree:
    """Replace each leaf of a tree by another leaf, keeping the types of the nodes."""
    if isinstance(tree, dict):
        return type(tree)({name: change_leaves(function, child) for name, child in tree.items()})
    if isinstance(tree, tuple | list):
        return type(tree)(change_leaves(function, child) for child in tree)
    return function(tree)


def leaves_of(tree: Tree) -> Iterator[Leaf]:
    """Walk the leaves of a tree, depth first, in stored order."""
    if isinstance(tree, Leaf):
        yield tree
        return
    for child in tree.values() if isinstance(tree, dict) else tree:
        yield from leaves_of(child)


def paths_of(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Walk the paths of names that lead to leaves and sequences, depth first, in stored order."""
    if not isinstance(tree, dict):
        yield path
        return
    for name, child in tree.items():
        yield from paths_of(child, (*path, name))


def insert(tree: dict[str, Any], names: Sequence[str], value: Any) -> None:
    """Insert a value into nested dicts, and make the missing ones."""
    for name in names[:-1]:
        tree = tree.setdefault(name, {})
    tree[names[-1]] = value


def unbox_nodes(tree: Tree) -> Tree:
    """Replace each node that holds nothing but a leaf named ``value`` by that leaf."""
    if isinstance(tree, Leaf):
        return tree
    if isinstance(tree, tuple | list):
        return type(tree)(map(unbox_nodes, tree))
    if tree.keys() == {"value"} and isinstance(tree["value"], Leaf):
        return tree["value"]
    return type(tree)({name: unbox_nodes(child) for name, child in tree.items()})


def mount(tree: Tree, root: Root, where: str) -> dict[str, Tree]:
    """Return the collections of a file's tree.

    The items of a sequence are collections with the names ``"0"``, ``"1"``, ...

    Args:
      tree: the whole file.
      root: None for the whole file; the name, or names, that lead to the part that holds the
        collections; or for each collection the names that lead to it, for example ``{"params":
        ()}`` for a file of bare parameters.
      where: the path of the file, for the error.

    Raises:
      RootNotFoundError: the file has nothing at ``root``, or a single value.
    """
    if isinstance(root, Mapping):
        return {name: _descend(tree, names, where) for name, names in root.items()}
    mounted = _descend(tree, () if root is None else root, where)
    if isinstance(mounted, Leaf):
        raise RootNotFoundError(where, () if root is None else root, "a single value")
    return _children(mounted)


def _descend(tree: Tree, root: str | Sequence[str], where: str) -> Tree:
    names = (root,) if isinstance(root, str) else tuple(root)
    for name in names:
        children = _children(tree)
        if name not in children:
            raise RootNotFoundError(where, names, f"only {sorted(children)} beside {name!r}")
        tree = children[name]
    return tree


def _children(tree: Tree) -> dict[str, Tree]:
    if isinstance(tree, dict):
        return tree
    if isinstance(tree, tuple | list):
        return {str(index): child for index, child in enumerate(tree)}
    return {}
