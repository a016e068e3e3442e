"""Files that people have models in and that are not read here: how each is known and converted."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

__all__ = ["FOREIGN_SUFFIXES", "READABLE", "Foreign", "foreign_file", "hint_for_zip"]

READABLE = (
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
"""Endings by which a folder is known to hold a model that is not read."""

_SAVE = "save its nested dict of arrays with `linen_store.save`"
_TORCH = (
    "Load it with `torch.load(path, weights_only=True)`, transpose what the model wants transposed, and "
    f"{_SAVE}."
)
_HDF5 = f"Read its data sets with `h5py`, and {_SAVE}."


class Foreign(NamedTuple):
    """A format that is not read."""

    found: str
    """Description of a file of this format."""

    hint: str
    """How to convert it."""


_PICKLE = Foreign(
    "a pickle, which would run code",
    f"Where you trust who made it, load it with `pickle.load`, and {_SAVE}. If PyTorch made it: "
    f"{_TORCH[0].lower()}{_TORCH[1:]}",
)
_HEADS = [
    (re.compile(rb"\x80[\x02-\x05].", re.DOTALL), _PICKLE),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), Foreign("an HDF5 file, as Keras writes it", _HDF5)),
    (
        re.compile(rb"GGUF"),
        Foreign(
            "a GGUF file, whose arrays are quantised",
            f"Read it with the package `gguf`, dequantise its tensors, and {_SAVE}.",
        ),
    ),
    (
        re.compile(rb"\x93NUMPY"),
        Foreign(
            "an array of numpy without a name",
            "Open the folder that it is in: the names of the files are those of the arrays. If Equinox "
            "wrote it, load it with `equinox.tree_deserialise_leaves` into the model that was saved, "
            f"and {_SAVE}.",
        ),
    ),
]
_EQUINOX = Foreign(
    "a file of Equinox, which has no names",
    "Load it with `equinox.tree_deserialise_leaves` into the model that was saved, make a nested "
    f"dict of its arrays, and {_SAVE.replace('its nested dict of arrays', 'that')}.",
)


def foreign_file(where: str, head: bytes) -> Foreign | None:
    """Return which format a file has that is not read; None for any other file.

    Args:
      where: the path of the file.
      head: its first bytes.
    """
    if os.path.splitext(where)[1] == ".eqx":
        return _EQUINOX
    return next((foreign for pattern, foreign in _HEADS if pattern.match(head)), None)


def hint_for_zip(member: str) -> str:
    """Return how to convert a zip file that has a certain file in it, and is not one of numpy."""
    if member.endswith((".h5", "config.json", "metadata.json")):
        return f"It may be one of Keras. {_HDF5}"
    return f"An .npz holds files of numpy alone; the file may be one of PyTorch. {_TORCH}"
