"""Maps that are proposed from names and shapes: what is not called ambiguous is right."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from layouts import linen_side, other_names
from linen_core.traverse_util import flatten_dict, unflatten_dict
from linen_store import open_store
from linen_store.views import Map, suggest
from linen_store.views.alike import steps_between
from linen_store.views.maps import load_map

RECORDED = Path(__file__).parents[1] / "layouts"
MAPS = linen_side.MODELS / "maps"


def torch_file(name, config):
    return open_store(RECORDED / name / "model.safetensors", layout="model")


def flax_file(name, config):
    (file,) = RECORDED.glob(f"{name}/flax_model.msgpack*")
    return open_store(file)


def vision_transformer(name, config):
    arrays = linen_side.arrays_of(RECORDED / name / "model.safetensors")
    return unflatten_dict(other_names.vision_transformer(arrays, config), sep="/")


def t5x(name, config):
    arrays = linen_side.arrays_of(RECORDED / name / "model.safetensors")
    return {"target": unflatten_dict(other_names.t5x(arrays, config), sep="/")}


CASES = [
    *((name, torch_file, linen_side.map_of) for name in linen_side.NAMES),
    *(
        (name, flax_file, lambda *given: linen_side.map_of(*given, flax=True))
        for name in ("bert", "gpt2", "t5", "vit")
    ),
    ("vit", vision_transformer, lambda *_: load_map(MAPS / "vit_vision_transformer.toml")),
    ("t5", t5x, lambda *_: load_map(MAPS / "t5_t5x.toml")),
]
# The names of norms that only the order of the calls tells apart.
DOUBTFUL = {"bert": 1, "gpt2": 2, "llama": 0, "t5": 7, "vit": 6}


@pytest.mark.parametrize(("name", "opened", "right"), CASES)
@pytest.mark.parametrize("scanned", [False, True], ids=["unrolled", "scanned"])
def test_what_is_not_ambiguous_is_right(name, opened, right, scanned):
    config, inputs, _ = linen_side.recorded(RECORDED / name)
    model = linen_side.model_of(name, config, scanned=scanned)
    wanted = jax.eval_shape(lambda: model.init(jax.random.key(0), **inputs))
    store = opened(name, config)
    found = suggest(store, wanted)
    assert found.missing == ()
    assert found.map.drop == ()
    assert len(found.ambiguous) <= DOUBTFUL[name]
    expected = right(name, config).apply(store)
    expected = (load_map(linen_side.SCAN).apply(expected) if scanned else expected).snapshot()
    actual = Map.from_toml(found.to_toml()).apply(store).snapshot()
    expected, actual = flatten_dict(expected, sep="/"), flatten_dict(actual, sep="/")
    assert actual.keys() == expected.keys()
    doubtful = [
        re.escape(one).replace(r"\{i\}", r"\d+") for one in (*found.ambiguous, *found.squares)
    ]
    for leaf, value in expected.items():
        if not any(re.fullmatch(one, leaf) for one in doubtful):
            np.testing.assert_array_equal(actual[leaf], value)


def zeros(**shapes):
    return {name: np.zeros(shape) for name, shape in shapes.items()}


def test_an_ambiguous_array_has_its_candidates():
    found = suggest(
        {"m": {"a_norm": zeros(weight=3), "b_norm": zeros(weight=3)}},
        {"params": {"norm": zeros(scale=3)}},
    )
    assert found.ambiguous == {"params/norm/scale": ("m/a_norm/weight", "m/b_norm/weight")}
    assert found.map.drop == ("m/b_norm/weight",)
    assert found.to_toml().splitlines() == [
        "# no array of the model fits these",
        'drop = ["m/b_norm/weight"]',
        "",
        "[[rule]]",
        "# ambiguous: or m/b_norm/weight",
        'source = "m/a_norm/weight"',
        'target = "params/norm/scale"',
    ]


def test_a_missing_array_and_a_square_are_named():
    found = suggest(
        {"m": {"fc": zeros(weight=(3, 3))}}, {"params": {"fc": zeros(kernel=(3, 3), bias=5)}}
    )
    assert found.missing == ("params/fc/bias, float64(5,)",)
    assert found.squares == ("params/fc/kernel",)
    assert found.map.rules[0].do == ("transpose",)
    assert found.to_toml().splitlines() == [
        "# missing: nothing fits params/fc/bias, float64(5,)",
        "",
        "[[rule]]",
        "# a square: transposed or not as the others are",
        'source = "m/fc/weight"',
        'target = "params/fc/kernel"',
        'do = ["transpose"]',
    ]


def test_a_number_that_is_not_that_of_a_layer():
    """The norms of a scanned block are numbered, and its layers are stacked."""
    layers = {str(i): {"norm": {str(n): zeros(weight=7) for n in range(2)}} for i in range(2)}
    wanted = {"params": {"layers": {f"norm_{n}": zeros(scale=(2, 7)) for n in range(2)}}}
    found = suggest({"h": layers}, wanted)
    assert [rule.source for rule in found.map.rules] == [
        "h/{i}/norm/0/weight",
        "h/{i}/norm/1/weight",
    ]
    assert {rule.do for rule in found.map.rules} == {("stack i",)}


def test_rules_come_in_the_order_of_the_model():
    names = ["b", "c", "a", "d"]
    arrays = {name: zeros(weight=(number + 2, 3)) for number, name in enumerate(names)}
    found = suggest({"m": arrays}, {"params": arrays})
    assert [rule.target for rule in found.map.rules] == [f"params/{name}/weight" for name in names]


def test_a_stack_is_taken_apart():
    wanted = {"params": {f"layers_{i}": {"fc": zeros(kernel=(3, 2))} for i in range(4)}}
    found = suggest({"params": {"layers": {"fc": zeros(kernel=(4, 3, 2))}}}, wanted)
    (rule,) = found.map.rules
    assert (rule.target, rule.do) == ("params/layers_{i}/fc/kernel", ("unstack i",))


@pytest.mark.parametrize(
    ("source", "target", "steps"),
    [
        ((8, 6), (8, 6), [()]),
        ((4, 3, 2, 5), (2, 5, 3, 4), [("transpose 2 3 1 0",)]),
        ((4, 3, 2), (2, 3, 4), [("transpose",)]),
        ((6, 8), (8, 2, 3), [("transpose", "unflatten 1 2 -1")]),
        ((8, 2, 3), (8, 6), [("flatten 1 2",)]),
        ((8, 2, 3), (6, 8), [("flatten 1 2", "transpose")]),
        ((6,), (2, 3), [("unflatten 0 2 -1",)]),
        ((4, 4), (2, 2, 4), [("unflatten 0 2 -1",), ("transpose", "unflatten 0 2 -1")]),
        ((6, 8), (3, 5), []),
        ((), (), [()]),
    ],
)
def test_operations_between_shapes(source, target, steps):
    assert steps_between(source, target) == steps


def test_an_axis_of_size_1_is_added_only_on_request():
    assert steps_between((3, 3), (3, 1, 3)) == []
    assert steps_between((4, 3), (1, 4, 3), thin=True) == [("unflatten 0 1 -1",)]
    assert steps_between((1, 4), (4,), thin=True) == [("flatten 0 1",)]
