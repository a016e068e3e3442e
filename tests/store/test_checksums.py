"""Checksums: the same number whoever computes it, and however the bytes come."""

import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest

from linen_store._checksums import crc32, crc_of_array, crc_of_file

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
        from linen_store import _checksums
        assert _checksums.crc32 is zlib.crc32
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
