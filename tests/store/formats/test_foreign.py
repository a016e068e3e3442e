"""Formats that are recognised and refused."""

import numpy as np
import pytest

from linen_store import open_store
from linen_store.errors import (
    NotACheckpointError,
)

FOREIGN = [
    ("model.bin", b"\x80\x02}q\x00.", "a pickle, which would run code", "`pickle.load`"),
    ("model.pt", b"\x80\x04\x95.", "a pickle, which would run code", "`torch.load("),
    ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(8), "an HDF5 file, as Keras writes it", "`h5py`"),
    ("model.gguf", b"GGUF\x03" + bytes(8), "a GGUF file, whose arrays are quantised", "`gguf`"),
    ("model.eqx", b'{"width": 3}\n\x93NUMPY', "a file of Equinox, which has no names", "equinox"),
    ("w.npy", b"\x93NUMPY\x01\x00", "an array of numpy without a name", "Open the folder"),
]


@pytest.mark.parametrize(("name", "raw", "found", "way"), FOREIGN, ids=lambda case: str(case)[:12])
@pytest.mark.parametrize("folder", [False, True])
def test_formats_that_are_not_read_say_how_to_convert_them(tmp_path, name, raw, found, way, folder):
    if folder and name.endswith(".npy"):
        return  # a folder of them is read
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(NotACheckpointError) as caught:
        open_store(tmp_path if folder else tmp_path / name)
    assert caught.value.found == found
    assert way in str(caught.value)
    assert "linen_store.save" in str(caught.value)


def test_the_advice_for_a_lone_npy_file_works(tmp_path):
    np.save(tmp_path / "w.npy", np.ones(2))
    with pytest.raises(NotACheckpointError, match="Open the folder that it is in"):
        open_store(tmp_path / "w.npy")
    assert open_store(tmp_path).get("w", ()).shape == (2,)
