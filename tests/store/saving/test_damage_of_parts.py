"""Damage in every file of a checkpoint that two processes wrote is found, by name.

With LINEN_FLIPS=500 in the environment, so many single bytes are changed; few by default.
"""

import contextlib
import json
import os
import random

import numpy as np
import pytest

from linen_store import CheckpointStore, cli
from linen_store.errors import DamagedCheckpointError, UnfinishedCheckpointError

SAVE = """
linen_store.save(path, {
    "params": {str(i): put(VALUES + 10000 * i, "x", "y") for i in range(3)},
    "local": {"w": jnp.arange(1000.0), "n": np.arange(1000), "name": "linen"},
})
"""
FLIPS = int(os.environ.get("LINEN_FLIPS", "40"))


@pytest.fixture
def path(tmp_path, workers):
    workers(SAVE, 2, tmp_path / "c").results()
    return tmp_path / "c"


@contextlib.contextmanager
def damaged(file, content):
    """Replace or remove a file until the block ends. It is removed if the content is None."""
    whole = file.read_bytes()
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(whole)


def files_of(path):
    return sorted(one for one in path.rglob("*") if one.is_file())


def check_found(path, file, capsys):
    """Opening with ``verify="files"`` and the command name the file; other reads never return wrong values."""
    with pytest.raises((DamagedCheckpointError, UnfinishedCheckpointError)) as found:
        CheckpointStore(path, verify="files")
    assert cli.main(["verify", str(path), "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    if isinstance(
        found.value, UnfinishedCheckpointError
    ):  # nothing else tells it from a running save
        assert f"it has no {file.name}" in str(found.value)
        assert problem["what"] == f"it is unfinished: it has no {file.name}"
        return
    assert str(file) in str(found.value)
    assert problem["where"] == str(file)
    with contextlib.suppress(DamagedCheckpointError):
        store = CheckpointStore(path)
        for number in range(3):
            with contextlib.suppress(DamagedCheckpointError):
                kernel = store.get("params", (str(number),))
                assert np.array_equal(kernel, EXPECTED + 10000 * number)


EXPECTED = np.arange(128 * 64, dtype=np.float32).reshape(128, 64)


def test_single_bytes(path, capsys):
    draw = random.Random()
    files = files_of(path)
    nonempty = [file for file in files if file.stat().st_size]
    assert (
        len({file.parent.parent.name for file in nonempty} & {"ocdbt.process_0", "ocdbt.process_1"})
        == 2
    )
    chosen = [*nonempty, *draw.choices(nonempty, k=max(0, FLIPS - len(nonempty)))]
    for file in chosen:
        raw = bytearray(file.read_bytes())
        position, flip = draw.randrange(len(raw)), draw.randrange(1, 256)
        raw[position] ^= flip
        with damaged(file, bytes(raw)):
            check_found(path, file, capsys)
    CheckpointStore(path, verify="files")


def test_truncated_and_missing_files(path, capsys):
    for file in files_of(path):
        for content in (file.read_bytes()[:-1] if file.stat().st_size else b"more", None):
            with damaged(file, content):
                check_found(path, file, capsys)
    CheckpointStore(path, verify="files")


def test_the_affected_leaf_is_named(path):
    """Change an array on the disk: only that leaf cannot be read, and the error names it and a file of it."""
    for number in range(3):
        needle = (EXPECTED[5, 5:7] + 10000 * number).tobytes()
        files = [one for one in files_of(path) if needle in one.read_bytes()]
        assert files
        with contextlib.ExitStack() as stack:
            for file in files:  # Orbax may leave an unused copy of a chunk
                content = file.read_bytes().replace(needle, bytes(8))
                stack.enter_context(damaged(file, content))
            store = CheckpointStore(path)
            for other in range(3):
                if other != number:
                    kernel = store.get("params", (str(other),))
                    assert np.array_equal(kernel, EXPECTED + 10000 * other)
            with pytest.raises(DamagedCheckpointError) as found:
                store.get("params", (str(number),))
            assert found.value.leaf == ("params", str(number))
            assert found.value.file in map(str, files)
