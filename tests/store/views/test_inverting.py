"""A view that is undone gives the store that it was made of: names, shapes and bits."""

import jax.numpy as jnp
import numpy as np
import pytest

import linen_store
from linen_store import views
from linen_store.errors import ViewError

STORE = {
    "params": {
        **{
            f"b_{n}": {
                "weight": np.arange(6, dtype=np.float32).reshape(2, 3) + n,
                "bias": np.full(3, n, np.float32),
            }
            for n in range(3)
        },
        "qkv": {"weight": np.arange(24, dtype=np.float32).reshape(4, 6)},
        "head": {"weight": np.ones((4, 2), np.float32)},
    },
    "state": {"none": None, "number": 3},
}

VIEWS = {
    "rename": lambda s: views.rename(s, {"weight$": "kernel", "b_(.)": r"block_\1"}),
    "move": lambda s: views.move(s, "params/head", "params/top"),
    "mount": lambda s: views.mount(s, "params/inner"),
    "transpose": lambda s: views.transpose(s, "weight$"),
    "transpose by axes": lambda s: views.transpose(s, "head", (1, 0)),
    "reshape": lambda s: views.reshape(s, "qkv", (2, 2, 6)),
    "cast": lambda s: views.cast(s, jnp.float64, "weight$"),
    "stack": lambda s: views.stack(s, r"b_(\d+)", "b"),
    "stack, last axis": lambda s: views.stack(s, r"b_(\d+)", "b", axis=-1),
    "concatenate": lambda s: views.concatenate(
        s, ["params/b_0/weight", "params/b_1/weight"], "params/both", axis=0
    ),
    "split": lambda s: views.split(
        s, "params/qkv/weight", {"params/q": 2, "params/k": 1, "params/v": 3}, axis=1
    ),
    "pad": lambda s: views.pad(s, "head", 0, 1, 2),
    "stack and unstack": lambda s: views.unstack(
        views.stack(s, r"b_(\d+)", "b"), "params/b", "params/layer_{}"
    ),
    "several": lambda s: views.transpose(
        views.stack(
            views.rename(views.transpose(s, "weight$"), {"weight$": "kernel"}), r"b_(\d+)", "b"
        ),
        "b/kernel",
        (0, 2, 1),
    ),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_and_its_inverse(name, same):
    view = VIEWS[name](STORE)
    back = views.inverse(view, view.snapshot())
    assert back.snapshot().keys() == STORE.keys()
    assert same(back.snapshot(), STORE)
    assert same(views.inverse(view, view).snapshot(), STORE)  # also of the view itself
    assert repr(back).startswith("View(inverse of View(")


def test_what_is_left_out_is_not_there(same):
    view = views.transpose(views.select(STORE, "params/head"), "weight")
    assert same(views.inverse(view, view).snapshot(), {"params": {"head": STORE["params"]["head"]}})


def test_a_trained_model_is_saved_in_the_layout_of_its_file(tmp_path):
    linen_store.convert({"params": STORE["params"]}, tmp_path / "m.safetensors")
    with linen_store.open_store(tmp_path / "m.safetensors", layout="model") as store:
        view = VIEWS["several"](store)
        trained = {"params": {**view.snapshot()["params"]}}
        trained["params"]["b"] = {name: value + 1 for name, value in trained["params"]["b"].items()}
        linen_store.convert(views.inverse(view, trained), tmp_path / "new.safetensors")
    with linen_store.open_store(tmp_path / "new.safetensors", layout="model") as store:
        assert np.array_equal(
            store.get("params", ("b_1", "weight")), STORE["params"]["b_1"]["weight"] + 1
        )
        assert np.array_equal(
            store.get("params", ("head", "weight")), STORE["params"]["head"]["weight"]
        )


PROBLEMS = {
    "resize": (
        lambda s: views.resize(s, "head", (4, 3), 0.0),
        "params/head/weight: resize has no inverse",
    ),
    "cast": (
        lambda s: views.cast(s, jnp.bfloat16, "head"),
        "params/head/weight: a cast from float32 to bfloat16 loses digits",
    ),
    "slice": (
        lambda s: views.slice_axis(s, "head", 0, 0, 2),
        "params/head/weight: the view has only a part of it, or has some of it twice",
    ),
    "a map": (
        views.Map(
            (views.Rule("params/head/weight", "params/h", ("transpose", "cast float64")),),
            keep=("{name:**}",),
        ).apply,
        "params/h: it is made by a map: use Map.inverse",
    ),
    "overlay": (
        lambda s: views.overlay({"params": {"head": {"weight": np.zeros((4, 2), np.float32)}}}, s),
        "the view is made of several stores",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_without_an_inverse(name):
    make, problem = PROBLEMS[name]
    view = make(STORE)
    with pytest.raises(ViewError) as error:
        views.inverse(view, view)
    assert problem in error.value.problems


def test_a_store_of_another_layout():
    view = VIEWS["stack"](STORE)
    wrong = {
        "params": {**view.snapshot()["params"], "head": {"weight": np.ones((2, 2), np.float32)}}
    }
    with pytest.raises(ViewError) as error:
        views.inverse(view, wrong)
    assert error.value.problems == (
        "params/head/weight: it is float32(2, 2), expected float32(4, 2)",
        "state/none: it is missing",
        "state/number: it is missing",
    )
