"""Files are handled as by flax.io."""

import inspect
import logging
import os

import pytest

logging.disable(logging.WARNING)  # flax.io warns at import that TensorFlow is missing
import flax.io  # noqa: E402

logging.disable(logging.NOTSET)

from linen_core.errors import AlreadyExistsError  # noqa: E402
from linen_store import io  # noqa: E402
from linen_store.errors import RemotePathError  # noqa: E402

LIBRARIES = pytest.mark.parametrize("lib", [io, flax.io], ids=["linen", "flax"])


@LIBRARIES
def test_a_tour(lib, tmp_path):
    folder = tmp_path / "a" / "b"
    lib.makedirs(folder)
    lib.makedirs(folder)
    with lib.GFile(folder / "text", "w") as file:
        file.write("ä")
    with lib.GFile(os.fspath(folder / "text"), "rb") as file:
        assert file.read() == "ä".encode()
    assert (lib.getsize(folder / "text"), lib.isdir(folder)) == (2, True)
    lib.copy(folder / "text", folder / "copy")
    lib.rename(folder / "copy", folder / "new")
    assert sorted(lib.listdir(folder)) == ["new", "text"]
    assert lib.glob(f"{folder}/n*") == [f"{folder}/new"]
    assert lib.glob(f"{tmp_path}/*/") == [f"{tmp_path}/a"]
    lib.copy(folder / "text", folder / "new", overwrite=True)
    lib.rename(folder / "text", folder / "new", overwrite=True)
    lib.remove(folder / "new")
    assert not lib.exists(folder / "new")
    lib.rmtree(tmp_path / "a")
    assert lib.listdir(tmp_path) == []
    with lib.override_mode(lib.BackendMode.DEFAULT):
        lib.set_mode(lib.io_mode)
        assert lib.exists(tmp_path)


@LIBRARIES
@pytest.mark.parametrize("name", ["listdir", "remove", "rmtree", "getsize"])
def test_what_is_missing(lib, name, tmp_path):
    with pytest.raises(lib.NotFoundError):
        getattr(lib, name)(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["copy", "rename"])
def test_an_existing_destination_is_refused_and_the_advice_works(name, tmp_path):
    for file in ("old", "new"):
        (tmp_path / file).write_text(file)
    path = tmp_path / "new"
    message = f"Cannot save to {str(path)!r}: it exists already. Pass overwrite=True to replace it, or choose another path."
    with pytest.raises(AlreadyExistsError) as caught:
        getattr(io, name)(tmp_path / "old", path)
    assert str(caught.value) == message
    with pytest.raises(flax.errors.AlreadyExistsError):
        getattr(flax.io, name)(tmp_path / "old", path)
    getattr(io, name)(tmp_path / "old", path, overwrite=True)
    assert path.read_text() == "old"


def test_remote_paths_are_refused():
    with pytest.raises(RemotePathError):
        io.exists("gs://bucket/model")


def test_tensorflow_is_not_used():
    message = r"Linen has no backend BackendMode\.TF\. Use BackendMode\.DEFAULT, and tensorflow\.io\.gfile for remote"
    with pytest.raises(ValueError, match=message):
        io.set_mode(io.BackendMode.TF)
    with pytest.raises(ValueError, match=message), io.override_mode(io.BackendMode.TF):
        pass


def test_names_and_arguments():
    functions = {name: value for name, value in vars(flax.io).items() if inspect.isfunction(value)}
    assert {*functions, "BackendMode", "NotFoundError", "io_mode"} == {*io.__all__}
    for name, value in functions.items():
        ours, theirs = (list(inspect.signature(f).parameters) for f in (getattr(io, name), value))
        assert len(ours) == len(theirs)
        assert ours == theirs or len(ours) == 1
