"""A format of another package: it is registered by an installed entry point alone, and everything opens it."""

from __future__ import annotations

import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
import linen_store
from linen_core.store.registry import find_format, registered_formats
from linen_store import cli
from linen_store.errors import (
    AmbiguousCheckpointError,
    FormatOptionsError,
    KeyMapError,
    NotACheckpointError,
    UncompressedFormatError,
    UnknownFormatError,
)
from linen_summary import tabulate_store

TINY = '''
import json
import os
import numpy as np
import linen_core as nn


class TinyStore(nn.MemoryStore):
    """Five bytes, then a JSON object: the values of each parameter as nested lists of float32."""

    suffixes = (".tiny",)

    @classmethod
    def recognizes(cls, path):
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as stream:
            return stream.read(5) == b"TINY\\n"

    def __init__(self, path, root=None):
        with open(path, "rb") as stream:
            values = json.loads(stream.read()[5:])
        self.root = root
        super().__init__({"params": {name: np.array(one, np.float32) for name, one in values.items()}})

    @staticmethod
    def write_store(job):
        values = job.store.snapshot()["params"]
        text = json.dumps({name: np.asarray(value).tolist() for name, value in values.items()})
        job.stream.write(b"TINY\\n" + text.encode())
        job.report(sum(np.asarray(value).nbytes for value in values.values()))
'''
VALUES = {"kernel": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "bias": [0.5, -0.5]}
PARAMS = {name: np.array(value, np.float32) for name, value in VALUES.items()}
X = jnp.ones((1, 3))


def install(folder, name, entry, text):
    """Write a module and its installed metadata, as `pip install` does."""
    (folder / f"{name}.py").write_text(text)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[linen.stores]\n{entry}\n")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The path of a tiny file, with the package of its format installed."""
    packages = tmp_path / "packages"
    packages.mkdir()
    install(packages, "tiny_format", "tiny = tiny_format:TinyStore", TINY)
    monkeypatch.syspath_prepend(packages)
    monkeypatch.delitem(sys.modules, "tiny_format", raising=False)
    path = tmp_path / "model.tiny"
    path.write_bytes(b"TINY\n" + json.dumps(VALUES).encode())
    return path


def test_open_store(tiny):
    with linen_store.open_store(tiny) as store:
        assert type(store).__name__ == "TinyStore"
        assert store.get("params", ("bias",)).tolist() == VALUES["bias"]


def test_a_format_is_recognised_without_its_suffix(tiny):
    other = tiny.rename(tiny.with_name("model"))
    assert type(linen_store.open_store(other)).__name__ == "TinyStore"


def test_a_file_with_its_suffix_and_other_content(tiny):
    tiny.write_bytes(b"TINX\n")
    with pytest.raises(NotACheckpointError, match=r"a file that starts with b'TINX\\n'"):
        linen_store.open_store(tiny)


def test_ls(tiny, capsys):
    assert cli.main(["ls", str(tiny), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [leaf["name"] for leaf in listed["leaves"]] == ["params/kernel", "params/bias"]


def test_verify(tiny, capsys):
    assert cli.main(["verify", str(tiny)]) == 0
    assert "no checksums, all can be read" in capsys.readouterr().out


def test_tabulate_store(tiny):
    assert tabulate_store(tiny).bytes == 32


def test_restore(tiny):
    variables, report = linen_store.restore(nn.Dense(2), tiny, X)
    assert variables["params"]["kernel"].tolist() == VALUES["kernel"]
    assert report.bytes == 32
    assert linen_store.restore(nn.Dense(2), tiny, X, dtype=jnp.bfloat16).variables["params"][
        "bias"
    ].dtype == jnp.dtype(jnp.bfloat16)


def test_convert_from_and_to_it(tiny, tmp_path):
    linen_store.convert(tiny, tmp_path / "model.npz")
    reports = []
    linen_store.convert(
        tmp_path / "model.npz", tmp_path / "again.tiny", progress=lambda *done: reports.append(done)
    )
    assert reports == [(32, 32)]
    linen_store.convert(tmp_path / "model.npz", tmp_path / "other", to="tiny")
    for name in ("again.tiny", "other"):
        found = linen_store.open_store(tmp_path / name).snapshot()["params"]
        assert {name: value.tolist() for name, value in found.items()} == VALUES


def test_the_command_offers_it(tiny, tmp_path, capsys):
    assert cli.main(["convert", str(tiny), str(tmp_path / "copy"), "--to", "tiny"]) == 0
    assert capsys.readouterr().out == f"wrote 2 leaves, 32 bytes, to {tmp_path / 'copy'}\n"


def test_an_item_of_a_folder(tiny, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    tiny.rename(folder / "model.tiny")
    assert type(linen_store.open_store(folder)).__name__ == "TinyStore"
    np.savez(folder / "other.npz", **{"params/w": np.zeros(2)})
    with pytest.raises(AmbiguousCheckpointError) as caught:
        linen_store.open_store(folder)
    assert caught.value.choices == ("model.tiny", "other.npz")
    chosen = linen_store.open_store(folder, item="model.tiny")
    assert type(chosen).__name__ == "TinyStore"


def test_options_that_it_takes(tiny):
    assert linen_store.open_store(tiny, "model", verify=False, cache_bytes=0).root == "model"


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"dtype": jnp.bfloat16}, FormatOptionsError),
        ({"unbox": True}, FormatOptionsError),
        ({"key_map": {}}, KeyMapError),
        ({"step": 3}, AmbiguousCheckpointError),
    ],
)
def test_options_that_it_does_not_take(tiny, option, error):
    with pytest.raises(error):
        linen_store.open_store(tiny, **option)


def test_it_cannot_be_compressed(tiny, tmp_path):
    with pytest.raises(UncompressedFormatError) as caught:
        linen_store.convert(tiny, tmp_path / "copy.tiny", compression=True)
    assert caught.value.compressible == ("orbax", "npz")


def test_without_the_package_it_is_foreign(tmp_path):
    path = tmp_path / "model.tiny"
    path.write_bytes(b"TINY\n{}")
    with pytest.raises(NotACheckpointError):
        linen_store.open_store(path)
    with pytest.raises(NotACheckpointError):
        tabulate_store(path)
    with pytest.raises(UnknownFormatError):
        linen_store.convert(nn.MemoryStore({"params": PARAMS}), path, to="tiny")


def test_a_broken_package_hinders_only_its_own_files(tiny, tmp_path, monkeypatch):
    packages = tmp_path / "more"
    packages.mkdir()
    install(packages, "bad_format", "bad = bad_format:Bad", "import no_such_module_anywhere")
    monkeypatch.syspath_prepend(packages)
    assert "bad" not in registered_formats()
    assert type(linen_store.open_store(tiny.rename(tmp_path / "model"))).__name__ == "TinyStore"
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        find_format("model.bad")


def test_a_store_without_recognizes_claims_its_name(tmp_path, monkeypatch):
    packages = tmp_path / "packages"
    packages.mkdir()
    text = "import linen_core as nn\n\n\nclass Plain(nn.MemoryStore):\n    pass\n"
    install(packages, "plain_format", "plain = plain_format:Plain", text)
    monkeypatch.syspath_prepend(packages)
    assert find_format("model.plain").__name__ == "Plain"
    assert find_format(str(tmp_path)).__name__ == "CheckpointStore"
