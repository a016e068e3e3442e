"""Each map leads from the real library to a model with the same outputs, and back."""

import itertools
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers.models.t5.modeling_t5 import T5Attention

import t5
from layouts import linen_side, real, record
from linen_core.traverse_util import flatten_dict
from linen_store import open_store
from linen_store.views import suggest

SEEDS = range(8)
EACH = pytest.mark.parametrize("name", linen_side.NAMES)
SCANNED = pytest.mark.parametrize("scanned", [False, True], ids=["unrolled", "scanned"])


@EACH
@SCANNED
@pytest.mark.parametrize("seed", SEEDS)
def test_there_and_back(name, scanned, seed, tmp_path):
    case = real.draw(name, seed)
    expected = case.outputs()
    case.model.save_pretrained(tmp_path)
    config = real.config_of(case.model)
    given = (name, config, tmp_path / "model.safetensors", case.inputs)
    model, variables = linen_side.loaded(*given, scanned=scanned)
    found = linen_side.difference(model, variables, case.inputs, expected)
    assert found < linen_side.TOLERANCE

    back = tmp_path / "back.safetensors"
    linen_side.written_back(name, config, variables, back, scanned=scanned)
    again = real.randomized(real.draw(name, seed).model, seed + 1)
    load_strictly(again, load_file(back))
    for key, value in case.outputs(again).items():
        np.testing.assert_array_equal(value, expected[key])


@EACH
def test_from_pretrained_takes_the_file_that_comes_back(name, tmp_path):
    case = real.draw(name, 0)
    case.model.save_pretrained(tmp_path)
    file, config = tmp_path / "model.safetensors", real.config_of(case.model)
    _, variables = linen_side.loaded(name, config, file, case.inputs)
    file.unlink()
    linen_side.written_back(name, config, variables, file, scanned=False)
    again, report = type(case.model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    for key, value in case.outputs(again.eval()).items():
        np.testing.assert_array_equal(value, case.outputs()[key])


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
    size = sum(value.nbytes for value in case.model.parameters())
    case.model.save_pretrained(tmp_path, max_shard_size=size // 3)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    given = (name, real.config_of(case.model), tmp_path, case.inputs)
    model, variables = linen_side.loaded(*given, scanned=True)
    found = linen_side.difference(model, variables, case.inputs, case.outputs())
    assert found < linen_side.TOLERANCE


@EACH
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("seed", range(2))
def test_files_of_flax_models(name, parts, seed, tmp_path):
    cases = (real.draw(name, number) for number in itertools.count(100 * seed))
    case = next(one for one in cases if real.has_flax(one.model.config))
    size = sum(value.nbytes for value in case.model.parameters())
    real.save_flax(name, case, tmp_path, max_shard_size=2 * size // parts)
    files = list(tmp_path.glob("*.msgpack"))
    assert (len(files) > 1) is (parts > 1)
    (tmp_path / "model.safetensors").unlink()
    config = real.config_of(case.model)
    given = linen_side.map_of(name, config, flax=True)
    path = tmp_path if parts > 1 else files[0]
    model, variables = linen_side.loaded(name, config, path, case.inputs, map=given)
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


@EACH
@SCANNED
def test_what_a_suggestion_does_not_call_ambiguous_is_right(name, scanned, tmp_path):
    for seed in range(20):
        case = real.draw(name, seed)
        case.model.save_pretrained(tmp_path)
        config = real.config_of(case.model)
        given = (name, config, tmp_path / "model.safetensors", case.inputs)
        _, expected = linen_side.loaded(*given, scanned=scanned)
        with open_store(tmp_path / "model.safetensors", layout="model") as store:
            found = suggest(store, expected)
            assert (found.missing, found.map.drop) == ((), ())
            actual = flatten_dict(found.map.apply(store).snapshot(), sep="/")
        doubtful = [
            re.escape(one).replace(r"\{i\}", r"\d+") for one in (*found.ambiguous, *found.squares)
        ]
        for leaf, value in flatten_dict(expected, sep="/").items():
            if not any(re.fullmatch(one, leaf) for one in doubtful):
                np.testing.assert_array_equal(actual[leaf], value, err_msg=f"{seed}: {leaf}")
