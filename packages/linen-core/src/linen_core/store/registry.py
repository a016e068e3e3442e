"""Stores and formats that packages register under the entry-point group `linen.stores`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
from importlib.metadata import EntryPoints
from typing import Any, ClassVar, Protocol

from linen_core.errors import InvalidStoreError, UnknownStoreError
from linen_core.store.base import VariableStore
from linen_core.store.memory import MemoryStore

__all__ = [
    "GROUP",
    "StoreFormat",
    "find_format",
    "format_suffixes",
    "registered_formats",
    "registered_stores",
    "store_class",
]

GROUP = "linen.stores"
"""The entry-point group that a package registers its stores and formats under."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
"""The first part of an address. Two letters at least: one is a drive. `pathlib` makes one slash of two."""

_OWN: dict[str, type[VariableStore]] = {"memory": MemoryStore}


class StoreFormat(Protocol):
    """A kind of file or folder that holds variables.

    Calling a format with a path opens it as a store. A class of stores is therefore a format: its constructor takes
    the path first. A package registers the format in its project file, and `find_format`, `linen_store.open_store`,
    `linen_store.restore` and `linen_summary.tabulate_store` then open such files::

        [project.entry-points."linen.stores"]
        tiny = "my_package.stores:TinyStore"

    The attributes below are optional for a class of stores. Without any of them, the format claims the paths that end
    with the name it is registered under, here ``.tiny``. `linen_store.convert` writes the format if it also has the
    method that `linen_store.formats.writing.WritableFormat` describes.

    Example:
      >>> import json, os, tempfile, numpy as np, linen_core as nn
      >>> class TinyStore(nn.MemoryStore):
      ...     suffixes = (".tiny",)
      ...     @classmethod
      ...     def recognizes(cls, path):
      ...         if not os.path.isfile(path):
      ...             return False
      ...         with open(path, "rb") as stream:
      ...             return stream.read(4) == b"TINY"
      ...     def __init__(self, path):
      ...         with open(path, "rb") as stream:
      ...             values = json.loads(stream.read()[4:])
      ...         super().__init__({"params": {name: np.array(value) for name, value in values.items()}})
      >>> path = os.path.join(tempfile.mkdtemp(), "model.tiny")
      >>> with open(path, "wb") as stream:
      ...     size = stream.write(b"TINY" + json.dumps({"bias": [1, 2]}).encode())
      >>> TinyStore.recognizes(path), TinyStore(path).get("params", ("bias",))
      (True, array([1, 2]))
    """

    suffixes: ClassVar[tuple[str, ...]]
    """How the names of such files end. A folder of several files is searched for these."""

    fallback: ClassVar[bool]
    """If true, the format is asked after all others. False by default."""

    def recognizes(self, path: str) -> bool:
        """Return whether the file or folder at a path is of this format, from its first bytes or its names.

        The path need not exist. By default, a path is recognised by its suffix.
        """

    def __call__(self, path: str, /, **options: Any) -> VariableStore:
        """Open a path.

        Args:
          path: the file or folder.
          **options: the options of `linen_store.open_store` that the format supports.
        """


def registered_stores() -> tuple[str, ...]:
    """Return the names of the registered stores and formats, without importing any of them.

    Example:
      >>> "memory" in registered_stores()
      True
    """
    return tuple(sorted({*_OWN, *_entry_points().names}))


def store_class(name: str) -> type[VariableStore]:
    """Import the class of a store by the name that it is registered under.

    A package registers its store in its project file, under
    ``[project.entry-points."linen.stores"]``, with a line like ``zip =
    "my_package.stores:ZipStore"``.

    Raises:
      UnknownStoreError: nothing is registered under the name.
      InvalidStoreError: the registered object is not a subclass of `VariableStore`.
      ImportError: the package that registers the name cannot be imported.

    Example:
      >>> store_class("memory")({"params": {}}).collections()
      ('params',)
    """
    if name in _OWN:
        return _OWN[name]
    entries = _entry_points()
    if name not in entries.names:
        raise UnknownStoreError(name, registered_stores(), _advice(entries))
    found = entries[name].load()
    if not (isinstance(found, type) and issubclass(found, VariableStore)):
        raise InvalidStoreError(name, entries[name].value, found)
    return found


def registered_formats() -> dict[str, Any]:
    """Import the registered formats, by name. A format that cannot be imported is left out.

    Example:
      >>> "memory" in registered_formats()  # its argument is not a path
      False
    """
    return _imported(_entry_points())


def format_suffixes(name: str, found: Any) -> tuple[str, ...]:
    """Return the suffixes of a format's files: those that it declares, else its name.

    Example:
      >>> format_suffixes("zip", MemoryStore)
      ('.zip',)
    """
    return tuple(getattr(found, "suffixes", (f".{name}",)))


def find_format(path: str) -> Any:
    """Return the registered format that recognises a path.

    Of an address such as ``s3://bucket/model``, the format whose name is ``s3`` is asked first. Of a path, the format
    whose name is its suffix is asked first, then the others in the order of their names, then the fallbacks. A format
    of another name that cannot be imported is skipped: a package that is broken must not prevent files of other formats
    from being opened.

    Raises:
      UnknownStoreError: none recognises it.
      ImportError: the package of the format that the path's suffix names cannot be imported.

    Example:
      >>> from unittest import mock
      >>> entry = importlib.metadata.EntryPoint("zip", "zipfile:ZipFile", GROUP)
      >>> with mock.patch.object(importlib.metadata, "entry_points", lambda group: EntryPoints([entry])):
      ...     find_format("model.zip")
      <class 'zipfile.ZipFile'>
    """
    entries = _entry_points()  # looks into every installed package: once is enough
    scheme = _SCHEME.match(path)
    suffix = os.path.splitext(path)[1].removeprefix(".")
    for name in (scheme[1].lower() if scheme else "", suffix):
        if name in entries.names and _recognizes(name, found := entries[name].load(), path):
            return found
    fallbacks = []
    for name, found in _imported(entries).items():
        if getattr(found, "fallback", False):
            fallbacks.append((name, found))
        elif _recognizes(name, found, path):
            return found
    for name, found in fallbacks:
        if _recognizes(name, found, path):
            return found
    raise UnknownStoreError(suffix or path, registered_stores(), _advice(entries))


def _entry_points() -> EntryPoints:
    return importlib.metadata.entry_points(group=GROUP)


def _imported(entries: EntryPoints) -> dict[str, Any]:
    """Return the objects of those entry points that can be imported, in the order of their names."""
    found = {}
    for entry in sorted(entries, key=lambda entry: entry.name):
        with contextlib.suppress(ImportError, AttributeError):
            found[entry.name] = entry.load()
    return found


def _recognizes(name: str, found: Any, path: str) -> bool:
    recognizes = getattr(found, "recognizes", None)
    if recognizes is not None:
        return bool(recognizes(path))
    return path.endswith(format_suffixes(name, found))


def _advice(entries: EntryPoints) -> str:
    checkpoints = "" if entries else " For checkpoints, run `pip install linen-store`."
    return (
        f" Install the package that registers it in its entry-point group {GROUP!r}.{checkpoints}"
    )
