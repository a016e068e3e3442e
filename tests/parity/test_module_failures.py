"""Models and calls that fail: with errors of the same class on linen_core and on flax.linen."""

import pickle
from typing import Any

import flax.linen as fnn
import jax.numpy as jnp
import pytest

import linen_core as nn
from parity import _compare as compare
from parity._programs import KEY, ONES, X, dense


def bad(lib):
    """Models and calls that fail, by name."""
    Dense = dense(lib)

    class NoCompact(lib.Module):
        def __call__(self, x):
            return Dense(3)(x)

    class TakenName(lib.Module):
        @lib.compact
        def __call__(self, x):
            self.param("w", ONES, (1,))
            return Dense(2, name="w")(x)

    class TakenParam(lib.Module):
        @lib.compact
        def __call__(self, x):
            self.param("w", ONES, (1,))
            return self.param("w", ONES, (1,))

    class TakenVariable(lib.Module):
        @lib.compact
        def __call__(self, x):
            self.variable("s", "w", lambda: 1)
            return self.variable("s", "w", lambda: 1)

    class NoSuperPostInit(lib.Module):
        a: int = 0

        def __post_init__(self):
            pass

    class SetsField(lib.Module):
        a: int = 0

        def setup(self):
            self.a = 2

        def __call__(self, x):
            return x

    class SetsLate(lib.Module):
        @lib.compact
        def __call__(self, x):
            self.q = 2

    class BadProperty(lib.Module):
        def setup(self):
            self.x = Dense(3)

        @property
        def broken(self):
            return self.nothing

        def __call__(self, x):
            return self.broken

    class BadAttribute(lib.Module):
        def __call__(self, x):
            return self.nothing

    class NoKey(lib.Module):
        @lib.compact
        def __call__(self, x):
            return self.make_rng("dropout")

    class Writes(lib.Module):
        @lib.compact
        def __call__(self, x):
            v = self.variable("s", "v", lambda: 0)
            v.value = 3

    class LateParam(lib.Module):
        def __call__(self, x):
            return self.param("w", ONES, (1,))

    class SetupFails(lib.Module):
        def setup(self):
            raise KeyError("mine")

        def __call__(self, x):
            return x

    class Unhashable(lib.Module):
        items: Any = None

    class NoVariable(lib.Module):
        @lib.compact
        def __call__(self, x):
            return self.variable("s", "v").value

    class MissingPerturbation(lib.Module):
        @lib.compact
        def __call__(self, x):
            return self.perturb("p", x)

    def reserved():
        class Bad(lib.Module):
            parent: int

    def mutable_default():
        class Bad(lib.Module):
            items: list = []  # noqa: RUF012

    variables = Dense(2).init(KEY, X)
    bound = Dense(2).bind(variables)
    wrong = {"params": {**variables["params"], "kernel": jnp.ones((3, 5))}}
    return {
        "no compact": lambda: NoCompact().init(KEY, X),
        "taken name": lambda: TakenName().init(KEY, X),
        "taken param": lambda: TakenParam().init(KEY, X),
        "taken variable": lambda: TakenVariable().init(KEY, X),
        "no super": lambda: NoSuperPostInit().init(KEY, X),
        "sets field": lambda: SetsField().init(KEY, X),
        "sets late": lambda: SetsLate().init(KEY, X),
        "bad property": lambda: BadProperty().init(KEY, X),
        "bad attribute": lambda: BadAttribute().init(KEY, X),
        "no key": lambda: NoKey().apply({}, X),
        "writes": lambda: Writes().apply({"s": {"v": 1}}, X),
        "writes nothing there": lambda: Writes().apply({}, X),
        "writes wrong there": lambda: Writes().apply({"s": {"w": 1}}, X),
        "late param": lambda: LateParam().init(KEY, X),
        "setup fails": lambda: SetupFails().init(KEY, X),
        "unhashable": lambda: hash(Unhashable([1])),
        "hash bound": lambda: hash(bound),
        "set on bound": lambda: setattr(bound, "q", 1),
        "no variable": lambda: NoVariable().apply({"s": {"w": 1}}, X),
        "no perturbation": lambda: MissingPerturbation().apply({"perturbations": {}}, X),
        "reserved": reserved,
        "mutable default": mutable_default,
        "unbound call": lambda: Dense(2)(X),
        "unbound path": lambda: Dense(2).path,
        "unbound variables": lambda: Dense(2).variables,
        "unbound has_rng": lambda: Dense(2).has_rng("params"),
        "unbound make_rng": lambda: Dense(2).make_rng("params"),
        "unbound sow": lambda: Dense(2).sow("a", "b", 1),
        "unbound initializing": lambda: Dense(2).is_initializing(),
        "unbound unbind": lambda: Dense(2).unbind(),
        "unbound share": lambda: lib.share_scope(Dense(2), Dense(2)),
        "class init": lambda: Dense.init(KEY, X),
        "class apply": lambda: Dense.apply({}, X),
        "no params": lambda: Dense(2).apply({}, X),
        "empty params": lambda: Dense(2).apply({"params": {}}, X),
        "other params": lambda: Dense(2).apply({"params": {"kernels": 1}}, X),
        "nested params": lambda: Dense(2).apply({"params": variables}, X),
        "bare params": lambda: Dense(2).apply(variables["params"], X),
        "wrong shape": lambda: Dense(2).apply(wrong, X),
        "bad collection": lambda: Dense(2).apply({"params": 1}, X),
        "bad key": lambda: Dense(2).apply({1: {}}, X),
        "bad rng": lambda: Dense(2).init("a", X),
        "bad rngs": lambda: Dense(2).init({"params": 3}, X),
        "bad apply rng": lambda: Dense(2).apply(variables, X, rngs=3),
        "no method": lambda: Dense(2).apply(variables, X, method="nothing"),
        "no callable": lambda: Dense(2).apply(variables, X, method="features"),
        "no argument": lambda: Dense(2).apply(variables, X, method=lambda: 3),
        "bad method": lambda: Dense(2).apply(variables, X, method=3),
        "too many fields": lambda: Dense(2, True, None, None),
        "unknown field": lambda: Dense(2, colour="red"),
        "bad parent": lambda: Dense(2, parent=3),
        "bad mutable": lambda: Dense(2).apply(variables, X, mutable=3),
        "bad name": lambda: NoCompact(name=3).bind({}).path,
        "merge none": lambda: lib.merge_param("a", None, None),
        "merge both": lambda: lib.merge_param("a", 1, 2),
        "merge": lambda: (lib.merge_param("a", 1, None), lib.merge_param("a", None, 2)),
    }


@pytest.mark.parametrize("name", list(bad(fnn)))
def test_failure_is_of_the_same_class(name):
    compare.assert_same_outcome(bad(nn)[name], bad(fnn)[name], where=name)


@pytest.mark.parametrize("name", ["unbound call", "wrong shape", "no params", "taken name"])
def test_errors_survive_pickling(name):
    with pytest.raises(nn.errors.LinenError) as caught:
        bad(nn)[name]()
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value)
    assert str(again) == str(caught.value)
    assert again.__dict__ == caught.value.__dict__
