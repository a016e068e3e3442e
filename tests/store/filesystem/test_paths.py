"""Paths: which file they name, whether it was replaced, and an alias that other libraries can read."""

import os

import pytest

from linen_store.errors import CheckpointReplacedError, NotACheckpointError, RemotePathError
from linen_store.filesystem.paths import file_identity, local_path, opened_whole, plain_alias


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b", "/a/b"),
        ("file:/a/b", "/a/b"),
        ("file:///a/my%20b", "/a/my b"),
        ("FILE://localhost/a", "/a"),
        ("c:/model", "c:/model"),
        (b"/a/\xff", "/a/\udcff"),
    ],
)
def test_local_path(path, expected):
    assert local_path(path) == expected


@pytest.mark.parametrize("path", ["gs://bucket/model", "s3:/bucket", "file://host/model"])
def test_remote_path(path):
    with pytest.raises(RemotePathError):
        local_path(path)


def test_the_identity_changes_with_the_file(tmp_path):
    path = tmp_path / "file"
    assert file_identity(str(path)) is None
    path.write_bytes(b"a")
    first = file_identity(str(path))
    (tmp_path / "new").write_bytes(b"b")
    os.replace(tmp_path / "new", path)
    assert file_identity(str(path)) not in (None, first)


def test_opening_is_repeated_while_the_file_is_replaced(tmp_path):
    path = tmp_path / "file"
    calls = []

    def attempt():
        calls.append(None)
        if len(calls) == 1:
            raise CheckpointReplacedError(path)
        if len(calls) == 2:
            path.write_bytes(b"new")
            raise NotACheckpointError(path, "half a file", "Wait.")
        return "opened"

    assert opened_whole(str(path), attempt) == "opened"
    assert len(calls) == 3


def test_an_error_of_an_unchanged_file_is_raised(tmp_path):
    calls = []

    def attempt():
        calls.append(None)
        raise NotACheckpointError(tmp_path, "a folder", "Look.")

    with pytest.raises(NotACheckpointError):
        opened_whole(str(tmp_path), attempt)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("name", "is_link"), [("plain", False), ("[brackets]", True), ("b\\s", True)]
)
def test_plain_alias(tmp_path, name, is_link):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "file").write_bytes(b"")
    with plain_alias(str(folder)) as alias:
        assert (alias != str(folder)) is is_link
        assert os.listdir(alias) == ["file"]
    assert not is_link or not os.path.lexists(alias)
