"""Checksums: the same number whoever computes it, and however the bytes come."""

import json
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest

import linen_store
from linen_store.errors import DamagedCheckpointError
from linen_store.formats.orbax.checksums import FILE_NAME, crc32, crc_of_array, crc_of_file

BYTES = np.random.default_rng(0).integers(0, 256, 5 << 20, np.uint8)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 1000, BYTES.size])
def test_the_number_is_that_of_zlib(size):
    data = BYTES[:size]
    assert crc32(data.data) == crc_of_array(data) == zlib.crc32(data.tobytes())
    middle = size // 3
    assert crc32(data[middle:].data, crc32(data[:middle].data)) == crc32(data.data)


def test_values_are_taken_in_row_major_order():
    array = BYTES[:600].view(np.float16).reshape(10, 30)
    assert crc_of_array(array.T) == zlib.crc32(np.ascontiguousarray(array.T).tobytes())


def test_a_file_is_read_in_blocks(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(BYTES.tobytes())
    assert crc_of_file(str(file)) == (BYTES.size, zlib.crc32(BYTES.tobytes()))


def test_where_isal_has_no_build_zlib_serves():
    program = """
        import sys
        sys.modules["isal"] = None
        import zlib
        from linen_store.formats.orbax import checksums
        assert checksums._implementation() is zlib.crc32
        assert checksums.crc32(b"linen") == zlib.crc32(b"linen")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


@pytest.mark.parametrize(
    "changes",
    [
        [],
        {"leaves": 3},
        {"leaves": {"p.w": "0"}},
        {"leaves": {"p.w": True}},
        {"files": {"_METADATA": [1.5, 2]}},
        {"files": {"_METADATA": [1, 2, 3]}},
        {"files": {"_METADATA": None}},
        {"arrays": []},
        {"arrays": {"p.w": 5}},
        {"arrays": {"p.w": [[2], "float32"]}},
        {"arrays": {"p.w": [2, "float32", "numpy"]}},
        {"arrays": {"p.w": ["2", "float32", "numpy"]}},
        {"arrays": {"p.w": [[2.0], "float32", "numpy"]}},
        {"arrays": {"p.w": [[-2], "float32", "numpy"]}},
        {"arrays": {"p.w": [[2], "float33", "numpy"]}},
        {"arrays": {"p.w": [[2], "object", "numpy"]}},
        {"arrays": {"p.w": [[2], ["float32"], "numpy"]}},
        {"arrays": {"p.w": [[2], "float32", "scalar"]}},
        {"arrays": {"p.w": [[2], "float32", None]}},
        {"keys": {"p.w": 3}},
        {"keys": []},
    ],
    ids=json.dumps,
)
def test_a_record_of_wrong_types_is_damage_whatever_its_own_crc(tmp_path, changes):
    linen_store.save(tmp_path / "c", {"p": {"w": np.ones(2, np.float32)}})
    file = tmp_path / "c" / "state" / FILE_NAME
    fields = json.loads(file.read_bytes().splitlines()[1])
    body = json.dumps({**fields, **changes} if changes else changes).encode()
    file.write_bytes(b"%08x\n%s\n" % (zlib.crc32(body), body))
    with pytest.raises(DamagedCheckpointError, match=FILE_NAME):
        linen_store.CheckpointStore(tmp_path / "c")
