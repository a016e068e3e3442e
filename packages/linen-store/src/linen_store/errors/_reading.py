"""Failures to open or read a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from linen_core.errors import StoreError
from linen_store.errors._base import StrPath

__all__ = [
    "AmbiguousCheckpointError",
    "CheckpointNotFoundError",
    "CheckpointReplacedError",
    "ChecksumError",
    "DamagedCheckpointError",
    "ForkedStoreError",
    "FormatOptionsError",
    "KeyMapError",
    "NotACheckpointError",
    "RemotePathError",
    "RootNotFoundError",
    "StepNotFoundError",
    "StoreDtypeError",
    "TorchLayoutError",
    "TorchNamesError",
    "UnfinishedCheckpointError",
    "UnknownOptionError",
    "UnmappedNameError",
    "UnsafeNameError",
]


class CheckpointNotFoundError(StoreError, FileNotFoundError):
    """Nothing exists at the path of a checkpoint.

    Attributes:
      path: the path that was opened.
    """

    def __init__(self, path: StrPath, hint: str = "Check the path.") -> None:
        self.path = os.fspath(path)
        super().__init__(f"Cannot open {self.path!r}: nothing is there. {hint}")


class StepNotFoundError(StoreError, LookupError):
    """A folder of checkpoints does not have a step.

    Attributes:
      path: the folder.
      step: the step; None for the newest.
      steps: the finished steps.
    """

    def __init__(self, path: StrPath, step: int | None, steps: Sequence[int]) -> None:
        self.path = os.fspath(path)
        self.step = step
        self.steps = tuple(steps)
        wanted = "the newest step" if step is None else f"step {step}"
        found = f"the steps {list(steps)}" if steps else "no finished step"
        advice = "Pass one of them" if steps else "Save a step first, or check the folder"
        super().__init__(f"Cannot restore {wanted} of {self.path!r}: found {found}. {advice}.")


class NotACheckpointError(StoreError, ValueError):
    """The file or folder at the path is not a checkpoint of a format that can be read.

    Attributes:
      path: the path that was opened.
      found: a description of it.
    """

    def __init__(self, path: StrPath, found: str, hint: str) -> None:
        self.path = os.fspath(path)
        self.found = found
        super().__init__(f"Cannot open {self.path!r} as a checkpoint: found {found}. {hint}")


class RemotePathError(StoreError, ValueError):
    """A path is an address of a kind that is not read, or it was passed where only a path of this machine is taken.

    Attributes:
      path: the path, without credentials.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = os.fspath(path)
        super().__init__(
            f"Cannot use {self.path!r}: expected a path of this machine. `open_store`, `restore`, `save` and `convert` "
            "also take addresses that start with s3://, gs://, http:// or https://; copy anything else to a disk."
        )


class UnfinishedCheckpointError(StoreError, ValueError):
    """The checkpoint was never finished: the process that wrote it died, or is still writing.

    Attributes:
      path: the path that was opened.
      found: the evidence that it is unfinished.
    """

    def __init__(self, path: StrPath, found: str) -> None:
        self.path = os.fspath(path)
        self.found = found
        super().__init__(
            f"Cannot open {self.path!r}: the checkpoint is unfinished ({found}). Wait for the "
            "process that writes it; if it has died, open an earlier checkpoint or save again."
        )


class AmbiguousCheckpointError(StoreError, ValueError):
    """An argument is needed to choose among several checkpoints, or does not name one of them.

    Attributes:
      path: the path that was opened.
      argument: the argument that chooses.
      choices: its possible values.
      found: its value, None if it was not given.
    """

    def __init__(
        self, path: StrPath, argument: str, choices: Sequence[Any], found: Any = None
    ) -> None:
        self.path = os.fspath(path)
        self.argument = argument
        self.choices = tuple(choices)
        self.found = found
        if self.choices:
            given = f"{argument}={found!r} is not among" if found is not None else "it holds"
            what = f"{given} {list(self.choices)}. Pass `{argument}=` one of them."
        else:
            what = f"{argument}={found!r} is given, and it has no {argument}s. Leave `{argument}=` out."
        super().__init__(f"Cannot open {self.path!r}: {what}")


class RootNotFoundError(StoreError, KeyError):
    """The part of a checkpoint that was named as the root of the collections is not there.

    Attributes:
      path: the checkpoint.
      root: the names that were given.
      found: the names or value that are there instead.
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


class TorchLayoutError(StoreError, ValueError):
    """The arrays in a file have the layout of PyTorch: kernels, for example, are transposed.

    Attributes:
      path: the file.
      found: the evidence.
    """

    def __init__(self, path: StrPath, found: str) -> None:
        self.path = os.fspath(path)
        self.found = found
        super().__init__(
            f"Cannot open {self.path!r}: it has {self.found}, and PyTorch uses another layout of "
            "arrays: the kernel of a Linear is transposed. Write a copy with the arrays and names "
            "of the model, for example by `linen_store.save`. If the arrays already have the model's "
            'layout, pass `layout="model"`, and `key_map=` from the names in the file to those of '
            "the variables."
        )


class TorchNamesError(TorchLayoutError):
    """The names in a file are those of a PyTorch model, which has another layout of arrays.

    Attributes:
      path: the file.
      name: one of the names.
    """

    def __init__(self, path: StrPath, name: str) -> None:
        self.name = name
        super().__init__(path, f"the names of a PyTorch model, for example {name!r}")


class UnknownOptionError(StoreError, ValueError):
    """An argument has a value that it cannot have.

    Attributes:
      argument: the argument.
      found: its value.
      known: the values that it can have.
    """

    def __init__(self, argument: str, found: Any, known: Sequence[Any]) -> None:
        self.argument = argument
        self.found = found
        self.known = tuple(known)
        super().__init__(
            f"Cannot use {argument}={found!r}: expected one of {list(self.known)}. Pass one of them, "
            "or leave it out."
        )


class KeyMapError(StoreError, TypeError):
    """A map of names was given for a format whose names are not flat.

    Attributes:
      path: the checkpoint.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = os.fspath(path)
        super().__init__(
            f"Cannot open {self.path!r} with a `key_map`: its names are not flat strings. Use `root=` "
            "for the part that holds the collections, and `rename=` of `restore` for the rest."
        )


class UnmappedNameError(StoreError, KeyError):
    """A map of names has no entry for a name in the file.

    Attributes:
      path: the file.
      name: the name.
    """

    def __init__(self, path: StrPath, name: str) -> None:
        self.path = os.fspath(path)
        self.name = name
        super().__init__(
            f"Cannot open {self.path!r}: `key_map` has no entry for {name!r}. Add one; None leaves "
            "the array out."
        )


class UnsafeNameError(StoreError, ValueError):
    """A name in a checkpoint would lead outside its folder, or cannot be the name of a file.

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


class DamagedCheckpointError(StoreError, ValueError):
    """A file of a checkpoint is missing, truncated or has wrong contents.

    Attributes:
      path: the checkpoint.
      leaf: names of the leaf that cannot be read; None for the whole checkpoint.
      file: the damaged file, or the folder if the file is unknown.
      reason: a description of the damage.
    """

    def __init__(
        self, path: StrPath, file: StrPath, reason: str, leaf: Sequence[str] | None = None
    ) -> None:
        self.path = os.fspath(path)
        self.file = os.fspath(file)
        self.reason = reason
        self.leaf = None if leaf is None else tuple(leaf)
        what = self.path if leaf is None else f"{'/'.join(leaf)!r} of {self.path}"
        super().__init__(
            f"Cannot read {what}: {self.file} is damaged ({reason}). Restore the files from a "
            "copy, or open another checkpoint."
        )


class ChecksumError(DamagedCheckpointError):
    """The values of a leaf differ from those that were saved: their CRC-32 is another."""


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


class StoreDtypeError(StoreError, TypeError):
    """The dtype that floating-point arrays are read as is not a floating-point dtype.

    Attributes:
      dtype: the dtype.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(
            f"Cannot read floating-point arrays as {dtype}: expected a floating-point dtype. Read "
            "them unchanged and convert them yourself."
        )


class FormatOptionsError(StoreError, TypeError):
    """An option was given for a format that does not support it.

    Attributes:
      path: the file or folder.
      option: the option.
      supported: the options that the format supports.
    """

    def __init__(self, path: StrPath, option: str, supported: Sequence[str]) -> None:
        self.path = os.fspath(path)
        self.option = option
        self.supported = tuple(supported)
        super().__init__(
            f"Cannot open {self.path!r} with `{option}=`: expected one of the options of its format, "
            f"{list(self.supported)}. Leave it out."
        )
