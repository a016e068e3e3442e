"""Saves to a bucket: whole checkpoints, files, steps and what the command shows of them."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import linen_store
from linen_store import Checkpoints, checkpoints, cli, open_store, save
from linen_store.errors import (
    CheckpointExistsError,
    RemoteExistsError,
    StepNotFoundError,
    UnwritablePathError,
)
from linen_summary import tabulate_store

TREE = {"params": {"w": np.arange(6.0, dtype=np.float32).reshape(2, 3)}}


def state(step):
    return {"params": {"w": jnp.full((3, 2), step, jnp.float32)}, "step": step}


def test_what_is_saved_is_what_a_disk_gets(tmp_path, address, same, variables):
    save(tmp_path / "c", variables)
    save(address, variables)
    assert same(open_store(address).snapshot(), open_store(tmp_path / "c").snapshot())
    handle = save(f"{address}/later", variables, wait=False, compression=True)
    handle.wait()
    assert same(
        open_store(f"{address}/later", verify="files").snapshot(), open_store(address).snapshot()
    )


def test_a_checkpoint_in_a_bucket_is_not_replaced(address):
    save(address, TREE)
    for overwrite in (False, True):
        with pytest.raises(RemoteExistsError) as error:
            save(address, {"params": {"w": np.zeros(1)}}, overwrite)
        assert str(error.value) == (
            f"Cannot save to {address!r}: it exists already, and a bucket cannot replace it in one step. Save to "
            "another address, for example that of a new step, then delete the old checkpoint."
        )
    assert open_store(address).get("params", ("w",)).shape == (2, 3)
    save(f"{address}/new", {"params": {"w": np.zeros(1)}})  # what the advice says
    assert open_store(f"{address}/new").get("params", ("w",)).shape == (1,)


def test_a_web_server_is_not_written(web):
    for call in (
        lambda: save(f"{web.address}/c", TREE),
        lambda: linen_store.convert(TREE, f"{web.address}/m.npz"),
    ):
        with pytest.raises(UnwritablePathError, match="web servers are only read"):
            call()


def test_files_are_converted_between_addresses(address):
    file, checkpoint = f"{address}/m.safetensors", f"{address}/c"
    linen_store.convert(TREE, file)
    with pytest.raises(CheckpointExistsError):
        linen_store.convert(TREE, file)
    linen_store.convert({"params": {"w": TREE["params"]["w"] + 1}}, file, overwrite=True)
    linen_store.convert(file, checkpoint)
    linen_store.convert(checkpoint, f"{address}/m.msgpack")
    assert np.array_equal(
        open_store(f"{address}/m.msgpack").get("params", ("w",)), TREE["params"]["w"] + 1
    )


def test_steps(address):
    with Checkpoints(f"{address}/run", keep=2, best="loss") as run:
        for step in range(5):
            run.save(step, state(step), {"loss": abs(step - 1)})
    assert (run.steps, run.latest, run.best) == ([1, 3, 4], 4, 1)
    assert run.metrics(1) == {"loss": 0.0}
    again = Checkpoints(f"{address}/run/")
    assert int(again.restore(state(0)).variables["step"]) == 4
    assert again.open(3).get("step", ()) == 3
    with pytest.raises(StepNotFoundError, match=rf"Cannot restore step 2 of '{address}/run'"):
        again.open(2)
    with pytest.raises(RemoteExistsError):
        again.save(4, state(4), overwrite=True, wait=True)


def test_the_functions_of_flax(address):
    folder = f"{address}/run"
    assert checkpoints.latest_checkpoint(folder) is None
    assert checkpoints.restore_checkpoint(folder, 5) == 5
    for step in (1, 2, 10):
        path = checkpoints.save_checkpoint(folder, state(step), step, keep=2)
        assert path == f"{folder}/checkpoint_{step}"
    assert checkpoints.available_steps(folder) == [2, 10]
    assert checkpoints.restore_checkpoint(folder, state(0))["step"] == 10
    assert checkpoints.restore_checkpoint(folder, None, step=2)["step"] == 2
    assert checkpoints.restore_checkpoint(f"{folder}/checkpoint_2", state(0))["step"] == 2
    with pytest.raises(ValueError, match=r"the step does not exist. The steps are: 2, 10."):
        checkpoints.restore_checkpoint(folder, state(0), step=7)


def test_the_command(address, capsys):
    with Checkpoints(f"{address}/run") as run:
        run.save(1, state(1))
        run.save(2, state(2))
    assert cli.main(["ls", f"{address}/run"]) == 0
    assert "params/w" in capsys.readouterr().out
    assert cli.main(["items", f"{address}/run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["step"] for entry in found["items"]] == ["1", "2"], found
    assert "32 B" in str(tabulate_store(f"{address}/run"))
    assert cli.main(["plan", f"{address}/run", "--mesh", "data=3", "--split", "w=data"]) == 0
    assert cli.main(["verify", f"{address}/run"]) == 0
    assert cli.main(["diff", f"{address}/run/1", f"{address}/run/2"]) == 1
    assert cli.main(["convert", f"{address}/run/1", f"{address}/one.npz"]) == 0
    capsys.readouterr()
    assert cli.main(["ls", f"{address}/nothing"]) == 2
    assert address in capsys.readouterr().err


def test_the_steps_are_listed_once_after_a_save(s3, address):
    with Checkpoints(f"{address}/run", keep=None) as run:
        run.save(1, TREE, wait=True)
        s3.requests.clear()
        run.save(2, TREE, wait=True)
    listings = [one for one in s3.requests if "list-type" in one and one.endswith("run%2F")]
    assert len(listings) == 1, s3.requests
