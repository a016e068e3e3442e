"""Views need little more memory than their results, in new processes with 4 x 2 devices."""

import pathlib

import numpy as np

from linen_store import convert, save

STACKS = """
stacked = lambda store: views.stack(store, r"layer_(\\d+)", "layers")
steps = ("transpose", "stack i", "transpose 1 2 0", "cast bfloat16")
programs = {
    "transpose, stack": lambda store: stacked(views.transpose(store, "w")),
    "stack, cast": lambda store: views.cast(stacked(store), "bfloat16"),
    "map": views.Map((views.Rule("params/layer_{i}/w", "params/layers/w", steps),)).apply,
}
sharding = NamedSharding(mesh, PartitionSpec(None, "data", "model"))
ratios = {}
for path, where in zip(sys.argv[1:], (sharding, None), strict=True):
    store = linen_store.open_store(path, cache_bytes=0)
    for name, make in programs.items():
        view = make(store)
        read = lambda: view.read_placed("params", view.leaves("params"), sharding=lambda *_: where)
        read()  # compiles
        peak, result = peak_of(read)
        ratios[f"{name} of {store!r}"] = peak / size_of(result)
        del result
print(json.dumps(ratios))
"""


def test_a_stack_is_read_into_its_place(tmp_path, measured):
    params = {f"layer_{i}": {"w": np.full((512, 1024), i, np.float32)} for i in range(24)}
    save(tmp_path / "checkpoint", {"params": params})
    convert({"params": params}, tmp_path / "model.safetensors")
    ratios = measured(STACKS, tmp_path / "model.safetensors", tmp_path / "checkpoint")
    assert len(ratios) == 6
    # A layer has 1/24 of the bytes of its stack, twice that if the stack is cast. A second copy would be a ratio of 2.
    assert {name: ratio for name, ratio in ratios.items() if not 0.9 < ratio < 1.3} == {}


LLAMA = """
sys.path.insert(0, sys.argv[1])
import pathlib
import linen_core as nn
import test_maps as llama

llama.LAYERS, llama.WIDTH, llama.HIDDEN, llama.VOCABULARY = 8, 512, 2048, 8192
folder = pathlib.Path(sys.argv[2])
given = views.Map.from_toml(llama.LLAMA)
tokens = jnp.zeros((1, 6), int)
restore = lambda: linen_store.restore(
    llama.Llama(), folder / "files", tokens, map=given, mesh=mesh, dtype="bfloat16"
).variables
written = llama.write_llama(folder / "files")
restore()  # compiles
peak, variables = peak_of(restore)
back = lambda: linen_store.convert(
    nn.unbox(variables), folder / "back.safetensors", map=given.inverse(), overwrite=True
)
back()
peak_back, _ = peak_of(back)
with linen_store.open_store(folder / "back.safetensors", layout="model") as store:
    found = {
        ".".join((name, *path)): np.asarray(store.get(name, path))
        for name in store.collections() for path in store.leaves(name)
    }
expected = llama.tensors()
is_equal = found.keys() == expected.keys() and all(
    found[name].tobytes() == expected[name].tobytes() for name in expected
)
print(json.dumps([size_of(variables), peak, peak_back, is_equal]))
"""


def test_llama_is_never_in_memory_twice(tmp_path, measured):
    """The model of test_maps.py in a size of 64 MiB: from two files to 4 x 2 devices, and back."""
    size, peak, peak_back, is_equal = measured(LLAMA, pathlib.Path(__file__).parent, tmp_path)
    assert size > 60
    assert size < peak < 1.5 * size
    assert peak_back < 0.5 * size
    assert is_equal
