"""``.npz`` files: pickles, damage, byte order and compression."""

import io
import zipfile

import numpy as np
import pytest

from linen_store import NpzStore, open_store
from linen_store.errors import (
    DamagedCheckpointError,
    NotACheckpointError,
)


def test_pickles_in_an_npz_are_never_loaded(tmp_path):
    np.savez(tmp_path / "m.npz", a=np.array([print], dtype=object))
    with pytest.raises(NotACheckpointError, match=r"pickled objects in 'a.npy'"):
        open_store(tmp_path / "m.npz")
    np.savez(tmp_path / "m.npz", a=np.array(["text"]))
    with pytest.raises(NotACheckpointError, match="an array of <U4"):
        open_store(tmp_path / "m.npz")


def test_an_npz_that_lies_or_is_damaged(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(path, **{"p/a": np.arange(1000)})
    raw = path.read_bytes()
    for cut in (raw[:-1], raw[:100], raw[:-30] + bytes(30)):
        path.write_bytes(cut)
        with pytest.raises(DamagedCheckpointError):
            NpzStore(path)
    flipped = bytearray(raw)
    flipped[2000] ^= 1
    path.write_bytes(flipped)
    store = NpzStore(path)
    with pytest.raises(DamagedCheckpointError) as caught:
        store.get("p", ("a",))
    assert caught.value.leaf == ("p", "a")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", raw[30 + len("p/a.npy") :][:128])
    with pytest.raises(DamagedCheckpointError):
        NpzStore(path)


def test_numbers_of_another_byte_order_in_an_npz(tmp_path):
    swapped = np.arange(3, dtype=np.dtype(np.int32).newbyteorder("S"))
    np.savez(tmp_path / "m.npz", **{"p/a": swapped, "p/b": np.asfortranarray(np.eye(2, 3, 1))})
    store = NpzStore(tmp_path / "m.npz")
    assert store.spec("p", ("a",)).dtype == np.int32
    assert store.get("p", ("a",)).tolist() == [0, 1, 2]
    assert store.get("p", ("b",)).tolist() == [[0, 1, 0], [0, 0, 1]]


def test_an_npz_that_claims_more_than_it_can_hold(tmp_path):
    header_only = io.BytesIO()
    fields = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(header_only, fields)
    with zipfile.ZipFile(tmp_path / "m.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p/a.npy", header_only.getvalue())
        archive.getinfo("p/a.npy").file_size = len(header_only.getvalue()) + 4 * (1 << 40)
    with pytest.raises(DamagedCheckpointError, match="cannot have"):
        NpzStore(tmp_path / "m.npz")
