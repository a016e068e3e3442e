"""Folders of steps, under every name that people give them."""

import os

import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1

from linen_store import cli, convert, open_store, save
from linen_store.errors import AmbiguousCheckpointError, UnfinishedCheckpointError
from linen_store.formats.orbax.layout import STEP


def tree(value):
    return {"params": {"w": jnp.full(2, value, jnp.float32)}}


def value_of(folder, **options):
    return float(open_store(folder, **options).get("params", ("w",))[0])


NAMES = [
    "{}",
    "step_{}",
    "step-{}",
    "ckpt_{}",
    "checkpoint-{}",
    "best_{}",
    "run_1_step-{}",
    "000{}",
]


@pytest.mark.parametrize("name", NAMES)
def test_folders(tmp_path, name):
    for step in (2, 10):
        save(tmp_path / name.format(step), tree(step))
    assert value_of(tmp_path) == 10
    assert value_of(tmp_path, step=2) == 2
    with pytest.raises(AmbiguousCheckpointError, match="step"):
        open_store(tmp_path, step=3)


@pytest.mark.parametrize("name", [*NAMES, "checkpoint_{}"])
def test_unfinished_folders_are_skipped(tmp_path, name):
    save(tmp_path / name.format(2), tree(2))
    v1.save(tmp_path / name.format(3), tree(3))
    (tmp_path / name.format(3) / "state" / "_METADATA").unlink()
    (tmp_path / (name.format(4) + ".orbax-checkpoint-tmp")).mkdir()
    (tmp_path / f".linen-saving-{name.format(5)}-abcdefgh").mkdir()
    (tmp_path / name.format(6)).mkdir()
    assert value_of(tmp_path) == 2
    with pytest.raises(UnfinishedCheckpointError):
        open_store(tmp_path, step=3)


@pytest.mark.parametrize("name", ["best_{}", "loss-{}", "{}"])
def test_numbers_with_a_fraction(tmp_path, name):
    for number in (1.5, 0.25, 1):
        save(tmp_path / name.format(number), tree(number))
    assert value_of(tmp_path) == 1.5
    assert value_of(tmp_path, step=0.25) == 0.25
    assert value_of(tmp_path, step=1) == 1


@pytest.mark.parametrize("suffix", ["safetensors", "npz", "msgpack"])
@pytest.mark.parametrize("name", ["ckpt_{}", "step-{}", "best_{}", "{}"])
def test_files(tmp_path, suffix, name):
    for step in (2, 10, 1.5):
        convert(tree(step), tmp_path / f"{name.format(step)}.{suffix}")
    (tmp_path / f"{name.format(11)}.{suffix}.tmp").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("")
    assert value_of(tmp_path) == 10
    assert value_of(tmp_path, step=1.5) == 1.5


def test_files_of_different_names_are_items(tmp_path):
    for name in ("encoder_1", "decoder_2"):
        np.savez(tmp_path / f"{name}.npz", **{"params/w": np.zeros(2)})
    with pytest.raises(AmbiguousCheckpointError, match="item"):
        open_store(tmp_path)
    assert value_of(tmp_path, item="decoder_2.npz") == 0


@pytest.mark.parametrize("name", ["2024-01-05", "step", "step-", "a-b", "v1.2.3-4"])
def test_other_names_are_not_steps(name):
    assert STEP.fullmatch(name) is None


def test_the_command_lists_them(tmp_path, capsys):
    save(tmp_path / "step-5", tree(5))
    (tmp_path / "step-6").mkdir()
    assert cli.main(["items", os.fspath(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "2 steps" in out
    assert "unfinished" in out or "not a checkpoint" in out
