"""Formats that are recognised and refused, each with the way to convert it.

To add a reader of one of them, register a format in its own file: it is asked before this one.
"""

from __future__ import annotations

import os
import re
from typing import Any, ClassVar, NamedTuple, NoReturn

from linen_store.errors import NotACheckpointError
from linen_store.filesystem.failures import first_bytes
from linen_store.filesystem.paths import local_path

__all__ = ["FOREIGN_SUFFIXES", "ForeignFormat", "foreign_file", "hint_for_zip"]

_READABLE = (
    "Readable are Orbax checkpoints, safetensors, the MessagePack of flax, npz and folders of npy; "
    "check the path."
)

FOREIGN_SUFFIXES = (
    ".pt",
    ".pth",
    ".bin",
    ".ckpt",
    ".pkl",
    ".pickle",
    ".h5",
    ".hdf5",
    ".keras",
    ".gguf",
    ".eqx",
)
"""Suffixes of these formats. A folder that holds nothing else is refused with the advice for its first such file."""

_SAVE = "save its nested dict of arrays with `linen_store.save`"
_TORCH = (
    "Load it with `torch.load(path, weights_only=True)`, transpose what the model wants transposed, and "
    f"{_SAVE}."
)
_HDF5 = f"Read its data sets with `h5py`, and {_SAVE}."


class _Foreign(NamedTuple):
    """A format that linen-store does not read."""

    found: str
    """Description of a file of this format."""

    hint: str
    """How to convert it."""


_PICKLE = _Foreign(
    "a pickle, which would run code",
    f"Where you trust who made it, load it with `pickle.load`, and {_SAVE}. If PyTorch made it: "
    f"{_TORCH[0].lower()}{_TORCH[1:]}",
)
_HEADS = [
    (re.compile(rb"\x80[\x02-\x05].", re.DOTALL), _PICKLE),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), _Foreign("an HDF5 file, as Keras writes it", _HDF5)),
    (
        re.compile(rb"GGUF"),
        _Foreign(
            "a GGUF file, whose arrays are quantised",
            f"Read it with the package `gguf`, dequantise its tensors, and {_SAVE}.",
        ),
    ),
    (
        re.compile(rb"\x93NUMPY"),
        _Foreign(
            "an array of numpy without a name",
            "Open the folder that it is in: the names of the files are those of the arrays. If Equinox "
            "wrote it, load it with `equinox.tree_deserialise_leaves` into the model that was saved, "
            f"and {_SAVE}.",
        ),
    ),
]
_EQUINOX = _Foreign(
    "a file of Equinox, which has no names",
    "Load it with `equinox.tree_deserialise_leaves` into the model that was saved, make a nested "
    f"dict of its arrays, and {_SAVE.replace('its nested dict of arrays', 'that')}.",
)


class ForeignFormat:
    """The format of every file that no other format recognises: opening one raises an error that says what to do.

    Example:
      >>> import tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "model.gguf")
      >>> with open(path, "wb") as stream:
      ...     size = stream.write(b"GGUF")
      >>> foreign_file(path)
      Traceback (most recent call last):
        ...
      linen_store.errors.NotACheckpointError: Cannot open ... found a GGUF file, whose arrays are quantised. ...
    """

    suffixes: ClassVar = ()
    fallback: ClassVar = True

    def __call__(self, path: str | os.PathLike[str], **options: Any) -> NoReturn:
        """Refuse a file.

        Raises:
          NotACheckpointError: always.
        """
        where = local_path(path)
        head = first_bytes(where)
        foreign = next((one for pattern, one in _HEADS if pattern.match(head)), None)
        if os.path.splitext(where)[1] == ".eqx" and head:
            foreign = _EQUINOX
        if foreign is None:
            found = f"a file that starts with {head!r}" if head else "an empty file"
            foreign = _Foreign(found, _READABLE)
        raise NotACheckpointError(where, foreign.found, foreign.hint)

    def recognizes(self, path: str) -> bool:
        """Return whether a file is at the path."""
        where = local_path(path)
        return os.path.lexists(where) and not os.path.isdir(where)


foreign_file = ForeignFormat()
"""The format that is registered."""


def hint_for_zip(member: str) -> str:
    """Return how to convert a zip file that is not one of numpy, by a file in it."""
    if member.endswith((".h5", "config.json", "metadata.json")):
        return f"It may be one of Keras. {_HDF5}"
    return f"An .npz holds files of numpy alone; the file may be one of PyTorch. {_TORCH}"
