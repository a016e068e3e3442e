"""Finds the steps, items and leaves of an Orbax checkpoint."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from linen_store.errors import (
    AmbiguousCheckpointError,
    CheckpointNotFoundError,
    DamagedCheckpointError,
    NotACheckpointError,
    UnfinishedCheckpointError,
    UnsafeNameError,
)
from linen_store.filesystem.atomic_replace import (
    backup_path,
    is_staging,
    original_name,
    staging_folders,
)
from linen_store.filesystem.failures import check_readable, exists, listed, read_errors
from linen_store.filesystem.paths import local_path
from linen_store.formats.orbax.aggregate import AGGREGATE, is_aggregate, load_aggregate
from linen_store.formats.orbax.checksums import CHECKPOINT_METADATA
from linen_store.reading.tree import Kind, Leaf, Tree, build_tree, leaves_of

__all__ = [
    "MARKERS",
    "METADATA",
    "NOTHING",
    "STEP",
    "UNFINISHED",
    "OrbaxTree",
    "find_tree",
    "holds_orbax",
    "holds_steps",
    "is_checkpoint",
    "is_tree",
    "item_names",
    "load_partitions",
    "load_tree",
    "names_file",
    "step_number",
]

METADATA = "_METADATA"
_SHARDING = "_sharding"
NOTHING = "_linen_nothing"
"""The name of a None that `save` writes for an empty tree, which Orbax cannot hold."""
UNFINISHED = ".orbax-checkpoint-tmp"
MARKERS = ("orbax.checkpoint", "commit_success.txt", CHECKPOINT_METADATA)
"""The files that mark a finished checkpoint, in the order in which they are written."""
_ONLY_ITEM = "default"
"""The name that Orbax's `CheckpointManager` gives the item of a step that is saved as a whole."""
STEP = re.compile(r"(?!\.linen-)(.*_|.*[A-Za-z]-)?(\d+(?:\.\d+)?)")
"""The name of the folder of a step, such as ``5``, ``step_5``, ``step-5`` or ``best_1.5``: its prefix and number.

A staging folder of `save` is none, although its random ending may look like a number."""
_SEQUENCE_KEY = 1
_KINDS: dict[str, Kind] = {
    "jax.Array": "array",
    "np.ndarray": "numpy",
    "scalar": "scalar",
    "string": "string",
    "None": "none",
}
# Names may be written as Python literals, and Python's parser has errors of its own.
_BAD_METADATA = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    SyntaxError,
    RecursionError,
    MemoryError,
)
_EMPTY: dict[str, type] = {"Dict": dict, "List": list, "Tuple": tuple, "NamedTuple": tuple}


class OrbaxTree(NamedTuple):
    """One tree of arrays in a checkpoint."""

    tree: Tree
    """The leaves by name."""

    ocdbt: bool
    """True if the arrays are in an OCDBT database, False if each is a folder."""

    arrays_folder: str
    """The folder of that database, or of those folders."""

    zarr_format: int
    """2 or 3."""

    key_impls: dict[str, str]
    """For each stored PRNG key, by its joined name, the implementation of its generator."""

    values: dict[tuple[str, ...], Any]
    """The values that early versions of Orbax stored beside the names, by their names."""


def find_tree(
    path: str | os.PathLike[str], *, item: str | None = None, step: float | None = None
) -> str:
    """Return the folder of the tree at a path.

    Raises:
      RemotePathError: the path is the address of an object store.
      CheckpointNotFoundError: nothing is at the path.
      NotACheckpointError: it is not an Orbax checkpoint.
      UnfinishedCheckpointError: the checkpoint was not finished.
      AmbiguousCheckpointError: it holds several items, or the item or step does not exist.
    """
    folder = local_path(path)
    if not exists(folder):
        if exists(backup_path(folder)):
            return find_tree(backup_path(folder), item=item, step=step)
        _check_half_saved(folder)
        raise CheckpointNotFoundError(folder)
    if not os.path.isdir(folder):
        raise NotACheckpointError(
            folder, "a file", "An Orbax checkpoint is a folder; `open_store` reads other formats."
        )
    if UNFINISHED in os.path.basename(os.path.normpath(folder)):
        raise UnfinishedCheckpointError(folder, f"its name holds {UNFINISHED!r}")
    names = listed(folder)
    steps = _step_folders(folder, names)
    is_whole = is_tree(folder)
    if not is_whole and steps and not set(names) & set(MARKERS):
        return _find_in_steps(folder, steps, item, step)
    if step is not None:
        raise AmbiguousCheckpointError(folder, "step", (), step)
    if is_whole and item is None:
        return folder
    return _choose_item(folder, names, item)


def holds_orbax(folder: str, names: list[str]) -> bool:
    """Return whether a folder is an Orbax checkpoint, an item of one, or a folder of items."""
    return bool({METADATA, *MARKERS} & set(names)) or any(
        is_tree(os.path.join(folder, name)) for name in ("", *names) if not STEP.fullmatch(name)
    )


def is_tree(folder: str) -> bool:
    """Return whether a folder is one tree of arrays, of the current Orbax or an early one."""
    return os.path.isfile(os.path.join(folder, METADATA)) or is_aggregate(folder)


def item_names(folder: str, names: list[str]) -> list[str]:
    """Return those names in a folder that are finished trees of arrays."""
    return [
        name for name in names if UNFINISHED not in name and is_tree(os.path.join(folder, name))
    ]


def is_checkpoint(folder: str) -> bool:
    """Return whether a folder is one Orbax checkpoint, or one item of it."""
    if not os.path.isdir(folder):
        return False
    return bool({METADATA, *MARKERS} & set(listed(folder))) or is_aggregate(folder)


def _check_half_saved(folder: str) -> None:
    unfinished = os.path.normpath(folder) + UNFINISHED
    for found in (*filter(os.path.isdir, [unfinished]), *staging_folders(folder)):
        raise UnfinishedCheckpointError(folder, f"only {found!r} is there")


def step_number(text: str) -> float:
    """Return the number of a step, a whole one as an int.

    Example:
      >>> step_number("5"), step_number("1.5")
      (5, 1.5)
    """
    return float(text) if "." in text else int(text)


def holds_steps(folder: str, names: list[str]) -> bool:
    """Return whether a folder holds Orbax checkpoints by step."""
    return any(STEP.fullmatch(name) and is_checkpoint(os.path.join(folder, name)) for name in names)


def _step_folders(folder: str, names: list[str]) -> dict[float, list[str]]:
    """Return the folders by step: a step may have several, with different prefixes."""
    found: dict[float, list[str]] = {}
    # A killed save may have left only the backup of a step.
    backups = {original for name in names if (original := original_name(name))} - set(names)
    for name in sorted({*names, *backups}):
        match = STEP.fullmatch(name)
        if match and (name in backups or os.path.isdir(os.path.join(folder, name))):
            found.setdefault(step_number(match[2]), []).append(name)
    return found


def _find_in_steps(
    folder: str, steps: dict[float, list[str]], item: str | None, step: float | None
) -> str:
    """Return the tree of one step, by default of the newest finished one."""
    if step is not None and step not in steps:
        raise AmbiguousCheckpointError(folder, "step", sorted(steps), step)
    failures: list[Exception] = []
    for number in sorted(steps, reverse=True) if step is None else [step]:
        name, *others = steps[number]
        if others:
            found = f"several folders of step {number}, {steps[number]}"
            raise NotACheckpointError(folder, found, "Pass the path of one of them.")
        try:
            return find_tree(os.path.join(folder, name), item=item)
        except (UnfinishedCheckpointError, NotACheckpointError) as error:
            failures.append(error)
    raise failures[0]


def _choose_item(folder: str, names: list[str], item: str | None) -> str:
    items = item_names(folder, names)
    if item is not None:
        if item not in items:
            check_readable(folder, [item])
            raise AmbiguousCheckpointError(folder, "item", items, item)
        return os.path.join(folder, item)
    if not items:
        raise _no_items(folder, names)
    if len(items) > 1 and _ONLY_ITEM not in items:
        raise AmbiguousCheckpointError(folder, "item", items)
    return os.path.join(folder, items[0] if len(items) == 1 else _ONLY_ITEM)


def _no_items(folder: str, names: list[str]) -> Exception:
    check_readable(folder, names)
    unfinished = [name for name in names if UNFINISHED in name or is_staging(name)]
    if unfinished:
        return UnfinishedCheckpointError(folder, f"it holds only {unfinished[0]!r}")
    if set(names) & {*MARKERS, "manifest.ocdbt", "array_metadatas"}:
        return UnfinishedCheckpointError(folder, f"it has no {METADATA}")
    shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    found = f"a folder of {shown}" if names else "an empty folder"
    return NotACheckpointError(
        folder, found, f"A folder of Orbax holds {METADATA!r}; check the path."
    )


def names_file(folder: str) -> str:
    """Return the file that lists the names of a tree."""
    file = os.path.join(folder, METADATA)
    return file if os.path.lexists(file) else os.path.join(folder, AGGREGATE)


def load_tree(folder: str) -> OrbaxTree:
    """Read the names of a tree.

    Raises:
      DamagedCheckpointError: the list of names is damaged, or the database's manifest is missing.
      UnsafeNameError: a name would lead out of the checkpoint.
    """
    aggregate = load_aggregate(folder) if is_aggregate(folder) else None
    if aggregate is not None and not os.path.isfile(os.path.join(folder, METADATA)):
        tree, values = aggregate
        ocdbt, zarr_format = _has_database(folder), 2
    else:
        tree, ocdbt, zarr_format = _load_names(folder)
        early = {} if aggregate is None else aggregate[1]
        names = {leaf.names for leaf in leaves_of(tree)} if early else set()
        values = {name: value for name, value in early.items() if name in names}
    arrays = (
        leaf
        for leaf in leaves_of(tree)
        if leaf.kind not in ("none", "string") and leaf.names not in values
    )
    if not ocdbt:
        _check_safe_names(folder, arrays)
    return OrbaxTree(
        tree=tree,
        ocdbt=ocdbt,
        arrays_folder=_database(folder) if ocdbt and any(arrays) else folder,
        zarr_format=zarr_format,
        key_impls=_key_impls(folder),
        values=values,
    )


def _load_names(folder: str) -> tuple[Tree, bool, int]:
    """Return the leaves, True if they are in a database, and the version of zarr."""
    file = os.path.join(folder, METADATA)
    with read_errors(folder, file, _BAD_METADATA), open(file, "rb") as stream:
        fields = json.load(stream)
        tree = build_tree(_entries(fields["tree_metadata"]))
    in_database = fields.get("use_ocdbt")
    # Checkpoints from before there were databases have no such entry.
    ocdbt = _has_database(folder) if in_database is None else bool(in_database)
    return tree, ocdbt, 3 if fields.get("use_zarr3") else 2


def load_partitions(folder: str) -> dict[str, list[Any]]:
    """Read the mesh axes of each array that was saved with a sharding by axis names, by its joined name.

    Only where arrays are placed depends on this record: one that cannot be read is left out.
    """
    try:
        with open(os.path.join(folder, _SHARDING), "rb") as stream:
            described = json.load(stream)
        found = {
            base64.b64decode(name).decode(): json.loads(one) for name, one in described.items()
        }
        return {
            name: list(one["partition_spec"])
            for name, one in found.items()
            if one["sharding_type"] == "NamedSharding"
        }
    except (OSError, *_BAD_METADATA):
        return {}


def _has_database(folder: str) -> bool:
    return any(name.startswith(("manifest.ocdbt", "ocdbt.process_")) for name in listed(folder))


def _database(folder: str) -> str:
    """Return the folder of the database of a tree.

    Each process writes its own database, and Orbax merges them. If the path contains a bracket, Orbax does not merge;
    the database of a single process is then complete.
    """
    manifest = os.path.join(folder, "manifest.ocdbt")
    if os.path.isfile(manifest):
        return folder
    parts = [name for name in listed(folder) if name.startswith("ocdbt.process_")]
    if len(parts) == 1 and os.path.isfile(os.path.join(folder, parts[0], "manifest.ocdbt")):
        return os.path.join(folder, parts[0])
    raise DamagedCheckpointError(folder, manifest, "it is missing")


def _key_impls(folder: str) -> dict[str, str]:
    """Return the arrays that are the data of PRNG keys, from ``array_metadatas``."""
    impls: dict[str, str] = {}
    listing = os.path.join(folder, "array_metadatas")
    for name in sorted(os.listdir(listing)) if os.path.isdir(listing) else ():
        file = os.path.join(listing, name)
        with read_errors(folder, file, _BAD_METADATA), open(file, "rb") as stream:
            raw = stream.read()
            if b"random_key_impl" in raw:
                for entry in json.loads(raw)["array_metadatas"]:
                    array = entry["array_metadata"]
                    if array.get("ext_metadata"):
                        impls[array["param_name"]] = array["ext_metadata"]["random_key_impl"]
    return impls


def _entries(listed: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], tuple[bool, ...], Tree]]:
    for joined, entry in listed.items():
        keys = entry.get("key_metadata")
        if keys is None:
            names = tuple(map(str, ast.literal_eval(joined)))
            indexed = (False,) * len(names)
        else:
            names = tuple([str(key["key"]) for key in keys])
            indexed = tuple([key["key_type"] == _SEQUENCE_KEY for key in keys])
        value_type = entry["value_metadata"]["value_type"]
        if value_type in _EMPTY:
            yield names, indexed, _EMPTY[value_type]()
        elif (names, value_type) != ((NOTHING,), "None"):
            yield names, indexed, Leaf(names, _KINDS.get(value_type, "array"))


def _check_safe_names(folder: str, arrays: Iterable[Leaf]) -> None:
    """Raise if a name leads out of the folder. Without a database, each array is a folder of its name."""
    for leaf in arrays:
        parts = re.split(r"[/\\]", leaf.joined)
        if "\0" in leaf.joined or any(part in ("", ".", "..") for part in parts):
            raise UnsafeNameError(folder, leaf.names)
