"""Every failure that linen_store reports, one class each.

An error's line says where it happened, what was found and what was expected, then what to do. The
data behind the text is on the error as attributes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from linen_core.errors import LinenError, StoreError

__all__ = [
    "AmbiguousCheckpointError",
    "AmbiguousKeysError",
    "BadMsgpackError",
    "CheckpointExistsError",
    "CheckpointNotFoundError",
    "CheckpointReplacedError",
    "ChecksumError",
    "DamagedCheckpointError",
    "ForkedStoreError",
    "FrozenDictSetError",
    "HandlerExistsError",
    "KeyMapError",
    "NameCollisionError",
    "NotACheckpointError",
    "NotADictError",
    "RenameCollisionError",
    "RestoreMismatchError",
    "RngsMissingError",
    "RootNotFoundError",
    "SaveFailedError",
    "SaveTimeoutError",
    "StateMismatchError",
    "StateShapeError",
    "StoreDtypeError",
    "TorchNamesError",
    "UnfinishedCheckpointError",
    "UnsafeNameError",
    "UnsupportedLeafError",
    "UnsupportedStateError",
    "UnwritablePathError",
]

StrPath = str | os.PathLike[str]


def render_leaf(names: Sequence[str]) -> str:
    """Render the address of a leaf in a file as ``name/name/name``."""
    return "/".join(names)


class FrozenDictSetError(LinenError, ValueError):
    """An item of a FrozenDict was assigned.

    Attributes:
      key: the key that was assigned.
    """

    def __init__(self, key: Any) -> None:
        self.key = key
        super().__init__(
            f"Cannot set {key!r}: a FrozenDict is immutable. Make a changed one with "
            f"`copy({{{key!r}: ...}})`, or a plain dict with `unfreeze()`."
        )


class NotADictError(LinenError, TypeError):
    """`copy` or `pop` got something that is neither a FrozenDict nor a dict.

    Attributes:
      function: the function that was called.
      found: what it got.
    """

    def __init__(self, function: str, found: Any) -> None:
        self.function = function
        self.found = found
        super().__init__(
            f"Cannot {function} from a {type(found).__name__}: expected a FrozenDict or a dict."
        )


class CheckpointNotFoundError(StoreError, FileNotFoundError):
    """Nothing exists at the path of a checkpoint.

    Attributes:
      path: the path that was opened.
    """

    def __init__(self, path: StrPath, hint: str = "Check the path.") -> None:
        self.path = os.fspath(path)
        super().__init__(f"Cannot open {self.path!r}: nothing is there. {hint}")


class NotACheckpointError(StoreError, ValueError):
    """Something exists at the path, but no checkpoint of a format that can be read.

    Attributes:
      path: the path that was opened.
      found: what was seen there.
    """

    def __init__(self, path: StrPath, found: str, hint: str) -> None:
        self.path = os.fspath(path)
        self.found = found
        super().__init__(f"Cannot open {self.path!r} as a checkpoint: found {found}. {hint}")


class UnfinishedCheckpointError(StoreError, ValueError):
    """The checkpoint was never finished: the process that wrote it died, or is still writing.

    Attributes:
      path: the path that was opened.
      found: what shows that it is unfinished.
    """

    def __init__(self, path: StrPath, found: str) -> None:
        self.path = os.fspath(path)
        self.found = found
        super().__init__(
            f"Cannot open {self.path!r}: the checkpoint is unfinished ({found}). Wait for the "
            "process that writes it, or open an earlier checkpoint."
        )


class AmbiguousCheckpointError(StoreError, ValueError):
    """Several things at the path could be meant.

    Attributes:
      path: the path that was opened.
      argument: the argument that chooses.
      choices: what it can be.
    """

    def __init__(
        self, path: StrPath, argument: str, choices: Sequence[Any], found: Any = None
    ) -> None:
        self.path = os.fspath(path)
        self.argument = argument
        self.choices = tuple(choices)
        self.found = found
        given = f"{argument}={found!r} is not among" if found is not None else "it holds"
        super().__init__(
            f"Cannot open {self.path!r}: {given} {list(self.choices)}. Pass `{argument}=` one of "
            "them."
        )


class RootNotFoundError(StoreError, KeyError):
    """The part of a checkpoint that was named as the root of the collections is not there.

    Attributes:
      path: the checkpoint.
      root: the names that were given.
      found: what is there instead.
    """

    def __init__(self, path: StrPath, root: Any, found: str) -> None:
        self.path = os.fspath(path)
        self.root = root
        self.found = found
        super().__init__(
            f"Cannot use {root!r} of {self.path!r} as the root of the collections: found {found}. "
            "Pass `root=` the names that lead to the collections, or {'params': ()} where the "
            "file holds bare parameters."
        )


class DamagedCheckpointError(StoreError, ValueError):
    """A file of a checkpoint is missing, truncated or not what it should be.

    Attributes:
      path: the checkpoint.
      leaf: names of the leaf that cannot be read; None where it concerns the whole checkpoint.
      file: the file that is damaged, as far as it is known.
      reason: what is wrong with it.
    """

    def __init__(
        self, path: StrPath, file: StrPath, reason: str, leaf: Sequence[str] | None = None
    ) -> None:
        self.path = os.fspath(path)
        self.file = os.fspath(file)
        self.reason = reason
        self.leaf = None if leaf is None else tuple(leaf)
        what = self.path if leaf is None else f"{render_leaf(leaf)!r} of {self.path}"
        super().__init__(
            f"Cannot read {what}: {self.file} is damaged ({reason}). Restore the files from a "
            "copy, or open another checkpoint."
        )


class ChecksumError(DamagedCheckpointError):
    """The values of a leaf are not those that were saved: their CRC-32 differs."""


class CheckpointReplacedError(StoreError, RuntimeError):
    """The checkpoint under an open store was replaced or removed.

    Attributes:
      path: the checkpoint.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = os.fspath(path)
        super().__init__(
            f"Cannot read from {self.path!r}: the checkpoint was replaced or removed since the "
            "store was opened. Open the store again."
        )


class TorchNamesError(StoreError, ValueError):
    """The names in a file are those of a PyTorch model, whose arrays are laid out otherwise.

    Attributes:
      path: the file.
      name: one of the names.
    """

    def __init__(self, path: StrPath, name: str) -> None:
        self.path = os.fspath(path)
        self.name = name
        super().__init__(
            f"Cannot open {self.path!r}: it has the names of a PyTorch model, for example {name!r}. "
            "Pass `key_map=` from its names to those of the variables, and transpose kernels."
        )


class KeyMapError(StoreError, TypeError):
    """A map of names was given for a format whose names are not flat.

    Attributes:
      path: the checkpoint.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = os.fspath(path)
        super().__init__(
            f"Cannot open {self.path!r} with a `key_map`: its names are no flat strings. Use `root=` "
            "for the part that holds the collections, and `rename=` of `restore` for the rest."
        )


class StoreDtypeError(StoreError, TypeError):
    """A store was asked to cast floating-point arrays to what is no floating-point dtype.

    Attributes:
      dtype: the dtype that was asked for.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(
            f"Cannot read floating-point arrays as {dtype}: expected a floating-point dtype. Read "
            "them as they are and convert them yourself."
        )


class ForkedStoreError(StoreError, RuntimeError):
    """A store was read in a forked child of the process that opened it.

    Attributes:
      opened_in: the process that opened the store.
      read_in: the process that reads.
    """

    def __init__(self, opened_in: int, read_in: int) -> None:
        self.opened_in = opened_in
        self.read_in = read_in
        super().__init__(
            f"Cannot read in process {read_in}: the store was opened in process {opened_in}, "
            "which was then forked, and its reader threads do not survive a fork. Start the "
            "child with the 'spawn' method and open the store there, or read before the fork."
        )


class CheckpointExistsError(StoreError, FileExistsError):
    """Something is already at the path that is saved to.

    Attributes:
      path: the path.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = os.fspath(path)
        super().__init__(
            f"Cannot save to {self.path!r}: it exists already. Pass overwrite=True to replace it, "
            "or choose another path."
        )


class UnwritablePathError(StoreError, OSError):
    """The folder that is saved into cannot be made or written.

    Attributes:
      path: the path that is saved to.
      reason: why.
    """

    def __init__(self, path: StrPath, reason: str) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        super().__init__(
            f"Cannot save to {self.path!r}: {reason}. Nothing was written; choose a folder that "
            "can be written."
        )


class SaveFailedError(StoreError, OSError):
    """Writing a checkpoint failed half-way; what was at the path before is untouched.

    Attributes:
      path: the path that was saved to.
      reason: why.
    """

    def __init__(self, path: StrPath, reason: str) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        super().__init__(
            f"Cannot save to {self.path!r}: {reason}. What was there before is untouched; free "
            "space or check the disk, then save again."
        )


class SaveTimeoutError(StoreError, TimeoutError):
    """A save in the background did not end in the time it was waited for; it goes on.

    Attributes:
      path: the path that is saved to.
      timeout: how many seconds were waited.
    """

    def __init__(self, path: StrPath, timeout: float | None) -> None:
        self.path = os.fspath(path)
        self.timeout = timeout
        super().__init__(
            f"Still saving to {self.path!r} after {timeout} seconds. The save goes on; wait for "
            "it again."
        )


class NameCollisionError(StoreError, ValueError):
    """Two leaves would get the same name in the checkpoint, because names are joined by dots.

    Attributes:
      path: the path that is saved to.
      name: the name in the checkpoint.
      leaves: the two leaves.
    """

    def __init__(
        self, path: StrPath, name: str, first: Sequence[str], second: Sequence[str]
    ) -> None:
        self.path = os.fspath(path)
        self.name = name
        self.leaves = (tuple(first), tuple(second))
        super().__init__(
            f"Cannot save to {self.path!r}: the leaves {self.leaves[0]} and {self.leaves[1]} "
            f"would both be named {name!r} in the checkpoint. Rename one of them."
        )


class UnsafeNameError(StoreError, ValueError):
    """A name in a checkpoint would lead outside of its folder, or to no file at all.

    Attributes:
      path: the checkpoint.
      leaf: names of the leaf.
    """

    def __init__(self, path: StrPath, leaf: Sequence[str]) -> None:
        self.path = os.fspath(path)
        self.leaf = tuple(leaf)
        super().__init__(
            f"Cannot open {self.path!r}: the leaf {self.leaf} does not name a file inside the "
            "checkpoint. Do not trust this checkpoint; ask who made it."
        )


class UnsupportedLeafError(StoreError, TypeError):
    """A value cannot be saved.

    Attributes:
      path: the path that is saved to.
      leaf: names of the leaf.
      found: what the value is.
    """

    def __init__(self, path: StrPath, leaf: Sequence[str], found: str) -> None:
        self.path = os.fspath(path)
        self.leaf = tuple(leaf)
        self.found = found
        super().__init__(
            f"Cannot save {render_leaf(leaf)!r} to {self.path!r}: found {found}, expected an "
            "array, a number, a string or None. Convert or remove it."
        )


class RestoreMismatchError(StoreError, ValueError):
    """What a store holds does not fit the model; all that is wrong is listed.

    Attributes:
      model: the class name of the model.
      store: the store, rendered.
      problems: one line for each leaf that does not fit.
    """

    def __init__(self, model: str, store: str, problems: Sequence[str]) -> None:
        self.model = model
        self.store = store
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(
            f"Cannot restore {model} from {store}: {len(self.problems)} leaves do not fit. Map "
            "names with `rename=`, initialise what is missing with `init_missing=True`, ignore "
            f"what is unexpected with `strict=False`.\n{lines}"
        )


class RngsMissingError(StoreError, ValueError):
    """Variables must be initialised, and there is no key to do it with.

    Attributes:
      model: the class name of the model.
      missing: names of the variables.
    """

    def __init__(self, model: str, missing: Sequence[Sequence[str]]) -> None:
        self.model = model
        self.missing = tuple(map(tuple, missing))
        super().__init__(
            f"Cannot initialise {len(self.missing)} variables of {model} that the store lacks, "
            f"the first is {render_leaf(self.missing[0])!r}: expected `rngs=`, found None. Pass a "
            "key or a dict of keys."
        )


class RenameCollisionError(StoreError, ValueError):
    """`rename` gives two stored leaves the same name.

    Attributes:
      name: the name.
      leaves: the two leaves.
    """

    def __init__(self, name: Sequence[str], first: Sequence[str], second: Sequence[str]) -> None:
        self.name = tuple(name)
        self.leaves = (tuple(first), tuple(second))
        super().__init__(
            f"Cannot rename: {render_leaf(first)!r} and {render_leaf(second)!r} would both be "
            f"{render_leaf(name)!r}. Make the patterns of `rename` more exact, or drop one with "
            "None."
        )


class HandlerExistsError(LinenError, ValueError):
    """A type was registered for serialisation twice.

    Attributes:
      type: the type.
    """

    def __init__(self, ty: type) -> None:
        self.type = ty
        super().__init__(
            f"Cannot register {ty.__name__} for serialization: it is registered already. Pass "
            "override=True to replace what was registered."
        )


class AmbiguousKeysError(LinenError, ValueError):
    """Keys of a dict are the same once they are strings, as a state dict needs them.

    Attributes:
      keys: all the keys of the dict.
    """

    def __init__(self, keys: Sequence[Any]) -> None:
        self.keys = list(keys)
        super().__init__(
            f"Cannot make a state dict of a dict with the keys {self.keys}: some are the same as "
            "strings. Rename one of them."
        )


class StateMismatchError(LinenError, ValueError):
    """A state dict has other names than what it is restored into.

    Attributes:
      path: where in the state.
      kind: what kind of container is restored.
      expected: the names that it has.
      found: the names in the state, or the type of what is there instead.
    """

    def __init__(self, path: str, kind: str, expected: Sequence[str], found: Any) -> None:
        self.path = path
        self.kind = kind
        self.expected = list(expected)
        self.found = found
        super().__init__(
            f"Cannot restore the {kind} at {path!r}: expected the names {self.expected}, found "
            f"{found}. Restore into a target of the structure that was saved."
        )


class StateShapeError(LinenError, ValueError):
    """An array of a state dict has another shape than what it is restored into.

    Attributes:
      path: where in the state.
      expected: the shape of the target.
      found: the shape in the state.
    """

    def __init__(self, path: str, expected: tuple[int, ...], found: tuple[int, ...]) -> None:
        self.path = path
        self.expected = expected
        self.found = found
        super().__init__(
            f"Cannot restore the array at {path!r}: expected the shape {expected}, found {found}. "
            "Restore into a target of the shapes that were saved, or into None for the bare state."
        )


class UnsupportedStateError(LinenError, ValueError, TypeError):
    """A value of a state dict cannot be written as MessagePack.

    Attributes:
      found: what the value is.
    """

    def __init__(self, found: str) -> None:
        self.found = found
        super().__init__(
            f"Cannot serialize {found}: expected arrays, numbers, strings, bytes, None, dicts and "
            "lists. Convert it, or register its type with `register_serialization_state`."
        )


class BadMsgpackError(LinenError, ValueError):
    """Bytes are no MessagePack tree of arrays, or a damaged one.

    Attributes:
      reason: what is wrong with them.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"Cannot restore a tree from bytes: they are damaged or of another format ({reason}). "
            "Expected what `to_bytes` writes; read it from another copy."
        )
