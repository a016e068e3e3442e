"""Small models of transformers, recorded by tests/layouts/record.py: the same outputs in Linen, and the same file back."""

from pathlib import Path

import jax
import numpy as np
import pytest

from layouts import linen_side
from linen_core.traverse_util import unflatten_dict
from linen_store import convert, open_store, restore, views
from linen_store.errors import TorchLayoutError
from linen_store.views.maps import load_map

HERE = Path(__file__).parent
EACH = pytest.mark.parametrize("name", linen_side.NAMES)
SCANNED = pytest.mark.parametrize("scanned", [False, True], ids=["unrolled", "scanned"])


@EACH
@SCANNED
def test_outputs_are_those_of_the_library_and_the_file_comes_back(name, scanned, tmp_path):
    config, inputs, outputs = linen_side.recorded(HERE / name)
    file = HERE / name / "model.safetensors"
    model, variables = linen_side.loaded(name, config, file, inputs, scanned=scanned)
    assert linen_side.difference(model, variables, inputs, outputs) < linen_side.TOLERANCE

    back = tmp_path / "back.safetensors"
    linen_side.written_back(name, config, variables, back, scanned=scanned)
    with pytest.raises(TorchLayoutError):  # as the file of transformers
        open_store(back)
    expected, found = linen_side.arrays_of(file), linen_side.arrays_of(back)
    assert found.keys() == expected.keys()
    for key, value in found.items():
        np.testing.assert_array_equal(value, expected[key])


@EACH
@pytest.mark.parametrize("ending", [".npz", ".msgpack", ".safetensors", ""])
def test_scanned_in_another_format_and_back(name, ending, tmp_path):
    config, inputs, _ = linen_side.recorded(HERE / name)
    file = HERE / name / "model.safetensors"
    _, variables = linen_side.loaded(name, config, file, inputs, scanned=False)
    scan = load_map(linen_side.SCAN)
    convert(variables, tmp_path / f"scanned{ending}", map=scan)
    convert(tmp_path / f"scanned{ending}", tmp_path / f"unrolled{ending}", map=scan.inverse())
    with open_store(tmp_path / f"unrolled{ending}") as store:
        found = store.snapshot()
    jax.tree.map(np.testing.assert_array_equal, found, variables)


OLD_FILES = {
    "gpt2": (
        lambda name: name.removeprefix("transformer."),
        {f"h.{i}.attn.bias": np.ones((1, 1, 4, 4), np.float32) for i in range(3)},
        lambda store: views.mount(views.drop(store, "/attn/bias$"), at="transformer"),
    ),
    "bert": (
        lambda name: name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"),
        {},
        lambda store: views.rename(store, {"gamma$": "weight", "beta$": "bias"}),
    ),
    "llama": (
        str,
        {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(3, np.float32)},
        lambda store: views.drop(store, "inv_freq$"),
    ),
}


@pytest.mark.parametrize("name", OLD_FILES)
def test_old_files_with_other_names_and_buffers(name):
    old_name, buffers, view = OLD_FILES[name]
    config, inputs, outputs = linen_side.recorded(HERE / name)
    arrays = linen_side.arrays_of(HERE / name / "model.safetensors")
    old = {old_name(key): value for key, value in arrays.items()}
    store = view(unflatten_dict(old | buffers, sep="."))
    model = linen_side.model_of(name, config)
    variables, _ = restore(model, store, **inputs, map=linen_side.map_of(name, config))
    assert linen_side.difference(model, variables, inputs, outputs) < linen_side.TOLERANCE


def test_names_of_torch_in_params_are_those_of_a_model(tmp_path):
    """A parameter of a Linen model may be called weight."""
    convert({"params": {"weight": np.ones(2, np.float32)}}, tmp_path / "m.safetensors")
    with open_store(tmp_path / "m.safetensors") as store:
        assert store.leaves("params") == (("weight",),)


def test_the_readme_shows_the_map_of_gpt2():
    packages = linen_side.MODELS.parents[1] / "packages"
    readme = (packages / "linen-store" / "README.md").read_text("utf-8")
    text = (linen_side.MODELS / "maps" / "gpt2.toml").read_text("utf-8")
    assert f"```toml\n{text}```" in readme


@pytest.mark.parametrize(
    ("name", "entry", "value"),
    [
        ("bert", "hidden_act", "swish"),
        ("bert", "position_embedding_type", "relative_key"),
        ("bert", "tie_word_embeddings", False),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("gpt2", "activation_function", "tanh"),
        ("llama", "hidden_act", "gelu"),
        ("llama", "rope_scaling", {"rope_type": "yarn"}),
        ("t5", "feed_forward_proj", "gated-tanh"),
        ("vit", "qkv_bias", False),
    ],
)
def test_a_configuration_beyond_a_model_is_refused(name, entry, value):
    config, _, _ = linen_side.recorded(HERE / name)
    with pytest.raises(ValueError, match=r"config.json: \w+ is .*, expected one of \("):
        linen_side.model_of(name, {**config, entry: value})
