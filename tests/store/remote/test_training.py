"""A training run on two processes is killed, and goes on in one process from the checkpoints in a bucket."""

import pathlib
import time

import pytest

import linen_store

EXAMPLE = pathlib.Path(__file__).parents[3] / "examples" / "sharded" / "step.py"

TRAIN = """
import importlib.util
import linen_core as nn

spec = importlib.util.spec_from_file_location("example", rest[0])
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)

model = example.make_model()
step = jax.jit(example.make_step(model))
mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
rows = NamedSharding(mesh, PartitionSpec("data"))
with jax.set_mesh(mesh), nn.logical_axis_rules(example.RULES), linen_store.Checkpoints(rest[1]) as run:
    variables = model.lazy_init(jax.random.key(0), jax.ShapeDtypeStruct((8, 8), jnp.int32))
    first = run.latest or 0
    if first:
        variables = run.restore(variables).variables
    kernel = nn.unbox(variables)["params"]["Block_0"]["Dense_0"]["kernel"]
    tell([first, list(kernel.addressable_shards[0].data.shape)])
    for number in range(first, int(rest[2])):
        tokens = np.random.default_rng(number).integers(0, 16, (8, 9))
        batch = jax.make_array_from_callback(tokens.shape, rows, lambda index: tokens[index])
        loss, _, variables = step(variables, batch)
        run.save(number + 1, variables)
        tell([number, float(np.asarray(loss.addressable_data(0)))])
"""


def test_a_killed_run_goes_on_with_other_processes(tmp_path, address, workers):
    last = 5
    whole = workers(TRAIN, 1, tmp_path / "whole", EXAMPLE, f"{address}/whole", last).results()
    losses = dict(whole[0][1:])
    assert len(losses) == last
    killed = workers(TRAIN, 2, tmp_path / "killed", EXAMPLE, f"{address}/killed", 1000)
    while len(killed.told(0)) < 3:
        assert all(worker.poll() is None for worker in killed.running)
        time.sleep(0.01)
    killed.kill()
    for worker in killed.running:
        worker.communicate()
    (resumed,) = workers(
        TRAIN, 1, tmp_path / "resumed", EXAMPLE, f"{address}/killed", last
    ).results()
    (first, shape), *rest = resumed
    assert 1 <= first < last
    assert shape == [32, 32]  # the columns are split over two devices
    assert [number for number, _ in rest] == list(range(first, last))
    for number, loss in [*killed.told(0)[1:first], *rest]:
        assert loss == pytest.approx(losses[number], rel=1e-6), number
    assert linen_store.Checkpoints(f"{address}/killed").latest == last
