"""The base class of stores over formats whose arrays have flat names, such as ``params.dense.bias``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

from linen_core.errors import StoreError
from linen_store.errors import (
    DamagedCheckpointError,
    TorchLayoutError,
    TorchNamesError,
    UnmappedNameError,
)
from linen_store.filesystem.failures import read_failure
from linen_store.reading.device import HostArray, place
from linen_store.reading.file_store import LazyStore
from linen_store.reading.options import FlatOptions, KeyMap, Layout, Root, check_choice
from linen_store.reading.specs import array_spec
from linen_store.reading.tree import Leaf, Tree, build_tree

__all__ = ["FlatStore", "torch_name"]

_TORCH_FORMATS = {"pt", "mlx"}
"""Formats in the metadata of safetensors whose kernels have the layout of PyTorch."""

_TORCH_NAMES = {"weight", "running_mean", "in_proj_weight"}
_FLAX_NAMES = {"kernel", "embedding"}


class FlatStore(LazyStore):
    """A read-only store over arrays with flat names.

    A subclass passes its arrays, and implements `_array`. Their ``shape`` and ``dtype`` are used here.

    Args:
      path: the file or folder.
      arrays: the arrays by their names in the file.
      watched: see `FileStore`.
      root: the part of the file that holds the collections (see `CheckpointStore`).
      written_by: the programs that wrote the file, as far as it says so.
      **options: see `FlatOptions`.

    Raises:
      TorchLayoutError: the file is PyTorch's, or its names are (`TorchNamesError`), and ``layout`` is not given.
      UnmappedNameError: ``key_map`` lacks a name.
      DamagedCheckpointError: two names are the same, or one names a node above another.
      UnknownOptionError: ``layout`` is not one of its values.
      RootNotFoundError: the file has no collections at ``root``.
    """

    option_names: ClassVar = frozenset(FlatOptions.__annotations__)
    _separator: ClassVar[str] = "/"

    def __init__(
        self,
        path: str,
        arrays: Mapping[str, Any],
        watched: Mapping[str, Any],
        root: Root,
        written_by: Collection[str | None] = (),
        **options: Unpack[FlatOptions],
    ) -> None:
        key_map, layout = options.get("key_map"), options.get("layout")
        _check_layout(path, arrays, layout, written_by, self._separator)
        tree, self._names = _named_tree(path, arrays, self._separator, key_map)
        self._arrays = arrays
        super().__init__(path, tree, watched=watched, root=root, **options)  # type: ignore[misc]

    def _array(self, name: str, names: tuple[str, ...]) -> HostArray:
        """Return an array by its name in the file, in memory or as a position in a file; the names are for errors."""
        raise NotImplementedError

    def _load_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        arrays = [self._arrays[self._names[leaf.names]] for leaf in leaves]
        return [array_spec(array.shape, array.dtype.newbyteorder("=")) for array in arrays]

    def _load_values(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        try:
            arrays = [self._array(self._names[leaf.names], leaf.names) for leaf in leaves]
            return place(list(zip(arrays, leaves, specs, strict=True)))
        except StoreError:
            raise
        except (OSError, EOFError) as error:
            file = getattr(error, "filename", None) or self.path
            raise read_failure(self.path, file, error) from error


def _check_layout(
    path: str,
    names: Collection[str],
    layout: Layout,
    written_by: Collection[str | None],
    separator: str,
) -> None:
    """Raise if arrays have PyTorch's layout, unless the caller says that they have the model's."""
    check_choice("layout", layout, (None, "model"))
    if layout == "model" or set(written_by) == {"flax"}:
        return
    for writer in sorted(_TORCH_FORMATS.intersection(filter(None, written_by))):
        raise TorchLayoutError(path, f"the format {writer!r} in its metadata")
    # Names of PyTorch are joined by dots.
    if separator != "." and any(separator in name for name in names):
        return
    example = torch_name(names)
    if example is not None:
        raise TorchNamesError(path, example)


def torch_name(names: Iterable[str]) -> str | None:
    """Return one of the names, joined by dots, if they are those of a PyTorch model.

    Example:
      >>> torch_name(["fc.weight", "fc.bias"]), torch_name(["fc.kernel", "fc.bias"])
      ('fc.weight', None)
    """
    last = {name.rpartition(".")[2]: name for name in names}
    examples = [last[one] for one in sorted(_TORCH_NAMES & set(last))]
    return examples[0] if examples and not _FLAX_NAMES & set(last) else None


def _named_tree(
    path: str, names: Iterable[str], separator: str, key_map: KeyMap
) -> tuple[Tree, dict[tuple[str, ...], str]]:
    """Build a tree from flat names; also return the name in the file of each leaf."""
    found: dict[tuple[str, ...], str] = {}
    for name in names:
        mapped: str | Sequence[str] | None = name
        if key_map is not None:
            try:
                mapped = key_map[name] if isinstance(key_map, Mapping) else key_map(name)
            except KeyError as error:
                raise UnmappedNameError(path, name) from error
        if mapped is None:
            continue
        if isinstance(mapped, str):
            # A name without the separator of the format may be joined by "/", as variables are written elsewhere.
            mapped = mapped.split(separator if separator in mapped else "/")
        parts = tuple(mapped)
        if parts in found:
            reason = f"{found[parts]!r} and {name!r} are both {parts}"
            raise DamagedCheckpointError(path, path, reason)
        found[parts] = name
    try:
        tree = build_tree((parts, (False,) * len(parts), Leaf(parts)) for parts in found)
    except ValueError as error:
        raise DamagedCheckpointError(path, path, str(error)) from error
    return tree, found
