"""Earlier paths of public modules still work, in programs and in pickles."""

import importlib
import pickle
import subprocess
import sys

import pytest

import linen_store

PATHS = {
    "checkpoint_store": "CheckpointStore",
    "cli": "main",
    "converting": "convert",
    "frozen_dict": "FrozenDict",
    "frozen_store": "FrozenDictStore",
    "lazy_store": "LazyStore",
    "msgpack_store": "FlaxMsgpackStore",
    "npy_store": "NpyFolderStore",
    "npz_store": "NpzStore",
    "opening": "open_store",
    "placement": "plan",
    "restoring": "restore",
    "safetensors_store": "SafetensorsStore",
    "saving": "save",
    "serialization": "to_bytes",
}


@pytest.mark.parametrize(("module", "name"), PATHS.items())
def test_module(module, name):
    found = getattr(importlib.import_module(f"linen_store.{module}"), name)
    assert getattr(linen_store, name, found) is found


def test_modules_are_attributes_of_the_package():
    program = "import linen_store; print(linen_store.placement.plan is linen_store.plan)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"True\n"


def test_pickle_of_an_earlier_version():
    frozen = linen_store.freeze({"params": {"bias": 0.5}})
    written = pickle.dumps(frozen, protocol=2)
    earlier = written.replace(b"linen_store.frozen.frozen_dict", b"linen_store.frozen_dict")
    assert earlier != written
    assert pickle.loads(earlier) == frozen


def test_importing_the_package_imports_no_orbax():
    program = "import sys, linen_store; print([name for name in ('orbax', 'tensorstore', 'msgpack', 'rich') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"[]\n"
