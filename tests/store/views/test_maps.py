"""Maps: a checkpoint of another program in a model of another layout, and back."""

import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import linen_core as nn
from linen_store import convert, open_store, restore, save
from linen_store.cli import main
from linen_store.errors import MapError
from linen_store.views import Map, Rule

LAYERS, WIDTH, HIDDEN, VOCABULARY = 4, 8, 16, 32
LLAMA = """
[[rule]]
source = "model/embed_tokens/weight"
target = "params/embed/embedding"
[[rule]]
source = "model/layers/{i}/self_attn/{name:q_proj|k_proj|v_proj|o_proj}/weight"
target = "params/blocks/{name}/kernel"
do = ["transpose", "stack i"]
[[rule]]
source = "model/layers/{i}/mlp/{name:up_proj|down_proj}/weight"
target = "params/blocks/{name}/kernel"
do = ["transpose", "stack i"]
[[rule]]
source = "model/layers/{i}/{norm}/weight"
target = "params/blocks/{norm}/scale"
do = ["stack i"]
[[rule]]
source = "model/norm/weight"
target = "params/norm/scale"
[[rule]]
source = "lm_head/weight"
target = "params/head/kernel"
do = ["transpose"]
"""


def tensors():
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape, np.float32).astype(ml_dtypes.bfloat16)
    found = {
        "model.embed_tokens.weight": draw(VOCABULARY, WIDTH),
        "model.norm.weight": draw(WIDTH),
        "lm_head.weight": draw(VOCABULARY, WIDTH),
    }
    for i in range(LAYERS):
        layer = f"model.layers.{i}."
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            found[f"{layer}self_attn.{name}.weight"] = draw(WIDTH, WIDTH)
        found[f"{layer}mlp.up_proj.weight"] = draw(HIDDEN, WIDTH)
        found[f"{layer}mlp.down_proj.weight"] = draw(WIDTH, HIDDEN)
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"{layer}{name}.weight"] = draw(WIDTH)
    return found


def write_safetensors(path, arrays):
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.writelines(array.tobytes() for array in arrays.values())


def write_llama(folder):
    """Write two files with an index, as transformers does."""
    folder.mkdir()
    found = tensors()
    names = list(found)
    files = {f"model-0000{k + 1}-of-00002.safetensors": names[k::2] for k in range(2)}
    for file, part in files.items():
        write_safetensors(folder / file, {name: found[name] for name in part})
    index = {"weight_map": {name: file for file, part in files.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def llama(tmp_path):
    return write_llama(tmp_path / "llama")


def kernel(*names):
    return nn.with_partitioning(nn.initializers.lecun_normal(), names)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        dense = lambda size, name, *names: nn.Dense(
            size, use_bias=False, kernel_init=kernel(*names), name=name
        )
        h = nn.RMSNorm(name="input_layernorm")(x)
        q, k, v = (dense(WIDTH, f"{one}_proj", "data", "model")(h) for one in "qkv")
        weights = nn.softmax(q @ jnp.swapaxes(k, -1, -2))
        x = x + dense(WIDTH, "o_proj", "model", "data")(weights @ v)
        h = nn.RMSNorm(name="post_attention_layernorm")(x)
        h = nn.silu(dense(HIDDEN, "up_proj", "data", "model")(h))
        return x + dense(WIDTH, "down_proj", "model", "data")(h), None


class Llama(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        embedding = kernel("data", "model")
        x = nn.Embed(VOCABULARY, WIDTH, embedding_init=embedding, name="embed")(tokens)
        blocks = nn.scan(
            Block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=LAYERS,
            metadata_params={nn.PARTITION_NAME: None},
        )
        x, _ = blocks(name="blocks")(x, None)
        x = nn.RMSNorm(name="norm")(x)
        return nn.Dense(
            VOCABULARY, use_bias=False, kernel_init=kernel("data", "model"), name="head"
        )(x)


def test_llama_into_scanned_blocks_on_a_mesh_and_back(llama, tmp_path):
    (tmp_path / "llama.toml").write_text(LLAMA)
    assert len(LLAMA.strip().splitlines()) <= 25
    mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
    tokens = jnp.arange(6).reshape(1, 6)
    variables, report = restore(
        Llama(), llama, tokens, map=tmp_path / "llama.toml", mesh=mesh, dtype="bfloat16"
    )
    assert (report.initialized, report.unexpected, len(report.loaded)) == ((), (), 11)
    q = variables["params"]["blocks"]["q_proj"]["kernel"].value
    assert q.shape == (LAYERS, WIDTH, WIDTH)
    assert q.dtype == jnp.bfloat16
    assert q.sharding.spec == PartitionSpec(None, "data", "model")
    assert {shard.data.shape for shard in q.addressable_shards} == {(LAYERS, 2, 4)}
    found = tensors()
    for i in range(LAYERS):
        expected = found[f"model.layers.{i}.self_attn.q_proj.weight"].T
        np.testing.assert_array_equal(q[i], expected)
    assert Llama().apply(nn.unbox(variables), tokens).shape == (1, 6, VOCABULARY)
    back = Map.from_toml(LLAMA).inverse()
    convert(nn.unbox(variables), tmp_path / "back.safetensors", map=back)
    with open_store(tmp_path / "back.safetensors", layout="model") as store:
        arrays = {
            ".".join((name, *path)): value
            for name in store.collections()
            for path, value in zip(
                store.leaves(name), store.read(name, store.leaves(name)), strict=True
            )
        }
    assert arrays.keys() == found.keys()
    for name, array in arrays.items():
        assert np.asarray(array).tobytes() == found[name].tobytes()


def test_open_store_and_the_command_take_a_map(llama, tmp_path, capsys):
    (tmp_path / "llama.toml").write_text(LLAMA)
    with open_store(llama, map=tmp_path / "llama.toml") as store:
        assert store.spec("params", ("blocks", "up_proj", "kernel")).shape == (4, 8, 16)
        assert store.capabilities.lazy
    options = ["--map", str(tmp_path / "llama.toml")]
    assert main(["convert", str(llama), str(tmp_path / "out"), *options]) == 0
    with open_store(tmp_path / "out") as store:
        assert store.spec("params", ("blocks", "up_proj", "kernel")).shape == (4, 8, 16)
    assert main(["plan", str(llama), "--mesh", "data=4", *options]) == 0
    capsys.readouterr()
    (tmp_path / "wrong.toml").write_text(LLAMA.replace("lm_head", "lm_haed"))
    assert (
        main(["convert", str(llama), str(tmp_path / "not"), "--map", str(tmp_path / "wrong.toml")])
        == 2
    )
    assert (
        "'lm_haed/weight' matches nothing; the closest name is 'lm_head/weight'"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "not").exists()


def test_a_map_from_the_path_of_its_file(tmp_path):
    (tmp_path / "llama.toml").write_text(LLAMA)
    assert Map.from_toml(tmp_path / "llama.toml").rules == Map.from_toml(LLAMA).rules
    with pytest.raises(MapError, match=r"for the path of a file, pass pathlib.Path\(\.\.\.\)"):
        Map.from_toml("llama.toml")


def test_a_store_in_memory_is_mapped():
    variables = {"old": {"w": np.ones((3, 2), np.float32), "b": np.zeros(2, np.float32)}}
    given = Map((Rule("old/w", "params/kernel"), Rule("old/b", "params/bias")))
    restored = restore(nn.Dense(2), variables, jnp.ones((1, 3)), map=given)
    assert restored.variables["params"]["kernel"].shape == (3, 2)


A = np.arange(24.0).reshape(2, 3, 4)


def rules(*given):
    return Map(tuple(Rule(*one) for one in given))


@pytest.mark.parametrize(
    ("given", "arrays", "expected"),
    [
        (rules(("a/w", "p/v", ("reshape 6 4", "transpose"))), {"w": A}, {"v": A.reshape(6, 4).T}),
        (
            rules((("a/q", "a/k"), "p/qk", ("concatenate -1",))),
            {"q": A, "k": A},
            {"qk": np.concatenate([A, A], -1)},
        ),
        (
            rules(("a/qk", ("p/q", "p/k"), ("split 2 1 3",))),
            {"qk": A},
            {"q": A[..., :1], "k": A[..., 1:]},
        ),
        (
            rules(("a/w", "p/l{i}", ("unstack i 1",))),
            {"w": A},
            {f"l{i}": A[:, i] for i in range(3)},
        ),
        (
            rules(("a/l{i}", "p/l", ("transpose 1 0 2", "stack i", "cast float32"))),
            {"l0": A, "l1": A},
            {"l": np.stack([A.transpose(1, 0, 2)] * 2).astype(np.float32)},
        ),
        (
            rules(("a/w", "p/w", ("slice 0 1 2", "resize 2 3 4 fill 7"))),
            {"w": A},
            {"w": np.concatenate([A[1:], np.full_like(A[1:], 7)])},
        ),
        (
            rules(("a/w", "p/w", ("unflatten -1 2 -1", "flatten 0 1"))),
            {"w": A},
            {"w": A.reshape(6, 2, 2)},
        ),
        (
            rules(("a/w", "p/w", ("pad -1 1 2 fill 7", "crop 1 1 0"))),
            {"w": A},
            {"w": np.pad(A, [(0, 0), (0, 0), (1, 2)], constant_values=7)[:, 1:]},
        ),
        (
            rules(("{top:a|b}/{rest:**}", "p/x/{rest}")),
            {"w": A, "n": {"m": {"v": A}}},
            {"x": {"w": A, "n": {"m": {"v": A}}}},
        ),
    ],
)
def test_operations(given, arrays, expected):
    found = given.apply({"a": arrays}).snapshot()["p"]
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_arrays_are_kept_unless_a_rule_uses_them():
    given = Map((Rule("a/l{i}/{rest:**}", "a/l/{rest}", ("stack i",)),), keep=("a/{rest:**}",))
    arrays = {"l0": {"m": {"w": A}}, "l1": {"m": {"w": A}}, "head": {"w": A}}
    view = given.apply({"a": arrays})
    assert view.leaves("a") == (("l", "m", "w"), ("head", "w"))
    back = given.inverse().apply(view).snapshot()["a"]
    jax.tree.map(np.testing.assert_array_equal, back, arrays)


@pytest.mark.parametrize("axis", [1, -2])
def test_axes_taken_apart_are_joined_again(axis):
    given = rules(("a/w", "p/w", ("transpose", f"unflatten {axis} 3 -1")))
    view = given.apply({"a": {"w": A}})
    assert view.spec("p", ("w",)).shape == (4, 3, 1, 2)
    np.testing.assert_array_equal(given.inverse().apply(view).get("a", ("w",)), A)


def test_padding_is_cut_off_again():
    given = rules(("a/w", "p/w", ("pad 1 1 2 fill 3",)))
    view = given.apply({"a": {"w": A}})
    assert view.spec("p", ("w",)).shape == (2, 6, 4)
    np.testing.assert_array_equal(given.inverse().apply(view).get("a", ("w",)), A)


def test_rules_may_swap_names():
    """All rules read the names of the checkpoint, so rules in a circle are not a mistake."""
    found = rules(("a/w", "a/v"), ("a/v", "a/w")).apply({"a": {"w": A, "v": 2 * A}}).snapshot()
    np.testing.assert_array_equal(found["a"]["v"], A)
    np.testing.assert_array_equal(found["a"]["w"], 2 * A)


def test_an_optional_rule_may_match_nothing():
    head = Rule("a/head/w", "p/head", ("transpose",), optional=True)
    given = Map((Rule("a/w", "p/w"), head))
    assert given.apply({"a": {"w": A}}).leaves("p") == (("w",),)
    assert given.inverse().apply({"p": {"w": A}}).leaves("a") == (("w",),)
    both = given.apply({"a": {"w": A, "head": {"w": A}}})
    assert both.leaves("p") == (("w",), ("head",))


def test_optional_and_keep_in_toml():
    text = 'keep = ["b/{x}"]\n[[rule]]\nsource = "a/w"\ntarget = "p/w"\noptional = true'
    assert Map.from_toml(text).apply({"b": {"v": A}}).leaves("b") == (("v",),)
    with pytest.raises(MapError) as caught:
        Map.from_toml(text.replace("true", '"yes"').replace('["b/{x}"]', "1"))
    assert caught.value.problems == (
        "line 2: 'optional': expected true or false, found 'yes'",
        "'keep': expected a list of strings, found 1",
    )


def test_arrays_are_dropped_by_name():
    given = Map((Rule("a/w", "p/w"),), drop=("a/step", "a/opt/{any}"))
    assert given.apply({"a": {"w": A, "step": A, "opt": {"m": A}}}).leaves("p") == (("w",),)


def test_stacks_have_an_inverse(tmp_path):
    given = rules(("a/l{i}/w", "p/l/w", ("transpose 1 2 0", "stack i 1")))
    arrays = {"a": {f"l{i}": {"w": A + i} for i in range(11)}}
    save(tmp_path / "model", given.apply(arrays))
    back = given.inverse().apply(open_store(tmp_path / "model")).snapshot()
    for i in range(11):
        np.testing.assert_array_equal(back["a"][f"l{i}"]["w"], (A + i).astype(np.float32))


@pytest.mark.parametrize("word", ["reshape 8 32 256", "unflatten 0 8 -1"])
def test_axes_taken_apart_and_transposed_on_a_mesh(word):
    """The axes of the result are not those of the array: it is read whole, then put in its place."""
    array = np.arange(256 * 256, dtype=np.float32).reshape(256, 256)
    given = rules(("params/w", "params/w", (word, "transpose 1 0 2")))
    mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
    place = NamedSharding(mesh, PartitionSpec("data", "model"))
    expected = jax.ShapeDtypeStruct((32, 8, 256), jnp.float32, sharding=place)
    found, _ = restore({"params": {"w": expected}}, {"params": {"w": array}}, map=given)
    assert found["params"]["w"].sharding == place
    np.testing.assert_array_equal(
        found["params"]["w"], array.reshape(8, 32, 256).transpose(1, 0, 2)
    )
