"""Each map leads from the real library to a model with the same outputs, and back."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers.models.t5.modeling_t5 import T5Attention

import t5
from layouts import linen_side, real, record

SEEDS = range(8)
EACH = pytest.mark.parametrize("name", linen_side.NAMES)
SCANNED = pytest.mark.parametrize("scanned", [False, True], ids=["unrolled", "scanned"])


@EACH
@SCANNED
@pytest.mark.parametrize("seed", SEEDS)
def test_there_and_back(name, scanned, seed, tmp_path, record_property):
    case = real.draw(name, seed)
    expected = case.outputs()
    case.model.save_pretrained(tmp_path)
    config = real.config_of(case.model)
    given = (name, config, tmp_path / "model.safetensors", case.inputs)
    model, variables = linen_side.loaded(*given, scanned=scanned)
    found = linen_side.difference(model, variables, case.inputs, expected)
    record_property("difference", found)
    assert found < linen_side.TOLERANCE

    back = tmp_path / "back.safetensors"
    linen_side.written_back(name, config, variables, back, scanned=scanned)
    again = real.randomized(real.draw(name, seed).model, seed + 1)
    load_strictly(again, load_file(back))
    for key, value in case.outputs(again).items():
        np.testing.assert_array_equal(value, expected[key])


def load_strictly(model: torch.nn.Module, found: dict[str, torch.Tensor]) -> None:
    """Load a state dict. Names that share a tensor with a name of the file need no value."""
    state = model.state_dict()
    by_place = {value.data_ptr(): value for name, value in state.items() if name in found}
    for name, value in state.items():
        if name not in found and value.data_ptr() in by_place:
            found[name] = next(
                found[other] for other in list(found) if state[other].data_ptr() == value.data_ptr()
            )
    model.load_state_dict(found, strict=True)


@EACH
def test_several_files_with_an_index(name, tmp_path):
    case = real.draw(name, 0)
    size = sum(value.nbytes for value in case.model.state_dict().values())
    case.model.save_pretrained(tmp_path, max_shard_size=size // 3)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    given = (name, real.config_of(case.model), tmp_path, case.inputs)
    model, variables = linen_side.loaded(*given, scanned=True)
    found = linen_side.difference(model, variables, case.inputs, case.outputs())
    assert found < linen_side.TOLERANCE


def test_recorded_files_are_those_of_the_library(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "TARGET", tmp_path)
    for name in linen_side.NAMES:
        record.record(name)
        there = linen_side.MODELS.parents[1] / "tests" / "store" / "layouts" / name
        for file in ("model.safetensors", "example.npz", "config.json"):
            assert (there / file).exists()
        new, old = (linen_side.recorded(folder) for folder in (tmp_path / name, there))
        for key, value in new[2].items():
            np.testing.assert_allclose(value, old[2][key], atol=linen_side.TOLERANCE)


@pytest.mark.parametrize(("count", "greatest"), [(32, 128), (8, 6), (64, 512)])
@pytest.mark.parametrize("is_decoder", [False, True])
def test_biases_of_relative_positions(count, greatest, is_decoder):
    length = 2 * greatest
    positions = torch.arange(length)
    expected = T5Attention._relative_position_bucket(
        positions[None, :] - positions[:, None], not is_decoder, count, greatest
    )
    found = t5.buckets(length, count, greatest, not is_decoder)
    np.testing.assert_array_equal(found, expected.numpy())
