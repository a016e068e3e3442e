"""A store written by somebody else: it passes the suite, and is found by its name."""

from __future__ import annotations

import importlib.metadata
import json
import zipfile
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from conformance import zip_store
from contracts import workspace
from linen_core.errors import InvalidStoreError, UnknownStoreError
from linen_core.store import MemoryStore
from linen_core.store.registry import GROUP, registered_stores, store_class
from linen_core.testing import StoreTests


def save(path, variables):
    """Write each leaf as a member of an archive, and the tree of where they are as another."""

    def add(node):
        if isinstance(node, dict):
            return {name: add(child) for name, child in node.items()}
        member = str(len(archive.namelist()))
        archive.writestr(member, node.tobytes())
        return [member, node.shape, node.dtype.name]

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tree", json.dumps(add(variables)))


class TestZipStore(StoreTests):
    def make_store(self, variables, tmp_path):
        save(tmp_path / "model.zip", variables)
        return zip_store.ZipStore(tmp_path / "model.zip")

    def count_reads(self, store):
        return store.reads


@pytest.fixture
def entry_points(monkeypatch):
    """Stand in for the installed packages that register stores."""

    def register(**stores):
        entries = EntryPoints(EntryPoint(name, target, GROUP) for name, target in stores.items())
        monkeypatch.setattr(
            importlib.metadata, "entry_points", lambda group: entries.select(group=group)
        )

    register()
    return register


def test_store_is_found_by_name(entry_points):
    entry_points(zip="conformance.zip_store:ZipStore")
    assert registered_stores() == ("memory", "zip")
    assert store_class("zip") is zip_store.ZipStore


def test_memory_needs_no_registration(entry_points):
    assert store_class("memory") is MemoryStore


def test_naming_the_stores_imports_none(entry_points):
    entry_points(broken="no_such_module_anywhere:Store")
    assert registered_stores() == ("broken", "memory")
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module_anywhere'"):
        store_class("broken")


def message(name):
    with pytest.raises(UnknownStoreError) as caught:
        store_class(name)
    assert isinstance(caught.value, LookupError)
    assert caught.value.name == name
    return str(caught.value)


@pytest.mark.parametrize("name", ["checkpoint", "frozen", "msgpack", "npz", "safetensors"])
def test_known_store_that_is_not_installed(entry_points, name):
    assert message(name) == (
        f"No variable store {name!r}: registered are 'memory'. "
        "Install the package that registers it in its entry-point group 'linen.stores'. "
        "For checkpoints, run `pip install linen-store`."
    )


def test_unknown_store(entry_points):
    entry_points(zip="conformance.zip_store:ZipStore")
    assert message("zipp") == (
        "No variable store 'zipp': registered are 'memory', 'zip'. Did you mean 'zip'? "
        "Install the package that registers it in its entry-point group 'linen.stores'."
    )


@pytest.mark.parametrize("target", ["conformance.zip_store:json", "builtins:dict"])
def test_what_is_registered_is_no_store(entry_points, target):
    entry_points(odd=target)
    with pytest.raises(InvalidStoreError) as caught:
        store_class("odd")
    found = caught.value.found
    assert isinstance(caught.value, TypeError)
    assert (caught.value.name, caught.value.target) == ("odd", target)
    assert str(caught.value) == (
        f"Cannot use the store 'odd': its entry point {target!r} is {found!r}, expected a "
        "subclass of VariableStore. Correct the entry point in the package that registers it."
    )


def test_linen_store_registers_its_stores(entry_points):
    project = workspace.project_file("linen-store")["project"]
    entry_points(**project["entry-points"][GROUP])
    stores = {
        "checkpoint": "CheckpointStore",
        "frozen": "FrozenDictStore",
        "memory": "MemoryStore",
        "msgpack": "FlaxMsgpackStore",
        "npy": "NpyFolderStore",
        "npz": "NpzStore",
        "safetensors": "SafetensorsStore",
    }
    assert registered_stores() == tuple(
        sorted({*stores, "folder", "foreign", "gs", "http", "https", "s3"})
    )
    assert {name: store_class(name).__name__ for name in stores} == stores
