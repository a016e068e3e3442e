"""Errors of module classes and of their instances."""

import jax
import jax.numpy as jnp

import linen_core as nn
from core.advice.cases import Case
from linen_core import errors

KEY = jax.random.key(0)
X = jnp.ones((1, 2))


def shape_of(model, *args, **kwargs):
    return model.init_with_output(KEY, X, *args, **kwargs)[0].shape


def names_of(model):
    return sorted(model.init(KEY, X)["params"])


def with_parameters(first, second):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return self.param(first, nn.initializers.ones, ()) + self.param(
                second, nn.initializers.ones, ()
            )

    return Model()


def with_attribute_and(name):
    class Model(nn.Module):
        def setup(self):
            self.scale = self.param(name, nn.initializers.ones, ())
            self.inner = nn.Dense(2)

        def __call__(self, x):
            return self.inner(x) * self.scale

    return Model()


class MakesInPlainMethod(nn.Module):
    def __call__(self, x):
        return nn.Dense(2)(x)


class MakesInCompactMethod(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(x)


class MakesInSetup(nn.Module):
    def setup(self):
        self.dense = nn.Dense(2)

    def __call__(self, x):
        return self.dense(x)


class AssignsToField(nn.Module):
    features: int = 2

    def setup(self):
        self.features = 2 * self.features

    def __call__(self, x):
        return self.features


class AssignsToAttribute(nn.Module):
    features: int = 2

    def setup(self):
        self.doubled = 2 * self.features

    def __call__(self, x):
        return self.doubled


class AssignsInCall(nn.Module):
    def __call__(self, x):
        self.total = 3
        return self.total


class AssignsInSetup(nn.Module):
    def setup(self):
        self.total = 3

    def __call__(self, x):
        return self.total


def set_on_instance():
    layer = nn.Dense(2).bind({})
    layer.features = 3


def with_annotation(name):
    return type("Model", (nn.Module,), {"__annotations__": {name: int}})


class Coder(nn.Module):
    def encode(self, x):
        return 2 * x


def apply_method(method):
    return float(Coder().apply({}, 1.0, method=method))


def call_with_variables():
    variables = nn.Dense(3).init(KEY, X)
    applied, bound = nn.Dense(3).apply(variables, X), nn.Dense(3).bind(variables)(X)
    return bool((applied == bound).all()), applied.shape


def set_up_by_use():
    variables = MakesInSetup().init(KEY, X)
    return MakesInSetup().apply(variables, X).shape, MakesInSetup().bind(variables).dense.features


def unbind_what_bind_returned():
    layer, variables = nn.Dense(2).bind(nn.Dense(2).init(KEY, X)).unbind()
    return layer.apply(variables, X).shape


class SharesInSetup(nn.Module):
    def setup(self):
        self.inner = nn.Dense(2)
        nn.share_scope(self, self.inner)

    def __call__(self, x):
        return self.inner(x)


class SharesInCompactMethod(nn.Module):
    @nn.compact
    def __call__(self, x):
        inner = nn.Dense(2)
        nn.share_scope(self, inner)
        return inner(x)


class ForgetsBase(nn.Module):
    features: int = 2

    def __post_init__(self):
        self.features = 3


class CallsBase(nn.Module):
    features: int = 2

    def __post_init__(self):
        self.features = 3
        super().__post_init__()

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.features)(x)


CASES = [
    Case(
        errors.NameInUseError,
        "Choose another",
        lambda: names_of(with_parameters("scale", "scale")),
        lambda: names_of(with_parameters("scale", "shift")),
        ["scale", "shift"],
    ),
    Case(
        errors.NameInUseError,
        "attributes of `setup` and names given by `name=...` share one namespace with parameters",
        lambda: names_of(with_attribute_and("inner")),
        lambda: names_of(with_attribute_and("scale")),
        ["inner", "scale"],
    ),
    Case(
        errors.AssignSubModuleError,
        "Wrap this method",
        lambda: shape_of(MakesInPlainMethod()),
        lambda: shape_of(MakesInCompactMethod()),
        (1, 2),
    ),
    Case(
        errors.AssignSubModuleError,
        "or move the submodule to `setup`",
        lambda: shape_of(MakesInPlainMethod()),
        lambda: shape_of(MakesInSetup()),
        (1, 2),
    ),
    Case(
        errors.SetAttributeInModuleSetupError,
        "Assign to an attribute of another name",
        lambda: AssignsToField().apply({}, X),
        lambda: AssignsToAttribute().apply({}, X),
        4,
    ),
    Case(
        errors.SetAttributeFrozenModuleError,
        "Assign it in `setup`",
        lambda: AssignsInCall().apply({}, X),
        lambda: AssignsInSetup().apply({}, X),
        3,
    ),
    Case(
        errors.SetAttributeFrozenModuleError,
        "create a changed copy with `module.clone(features=...)` if it is a field",
        set_on_instance,
        lambda: nn.Dense(2).clone(features=3).features,
        3,
    ),
    Case(
        errors.ReservedModuleAttributeError,
        "Leave the annotation out, or give the field another name",
        lambda: with_annotation("name"),
        lambda: with_annotation("label")(label=3).label,
        3,
    ),
    Case(
        errors.ApplyModuleInvalidMethodError,
        "expected a method of the module, its name, or a function whose first argument is the module",
        lambda: apply_method(3),
        lambda: [apply_method(way) for way in (Coder.encode, "encode", lambda m, x: m.encode(x))],
        [2.0, 2.0, 2.0],
    ),
    Case(
        errors.CallCompactUnboundModuleError,
        "Use `variables = module.init(key, x)` and `module.apply(variables, x)`, or `module.bind(variables)(x)`",
        lambda: nn.Dense(3)(X),
        call_with_variables,
        (True, (1, 3)),
    ),
    Case(
        errors.CallSetupUnboundModuleError,
        "it runs automatically when a module is used in `init`, `apply` or after `bind`",
        lambda: MakesInSetup().setup(),
        set_up_by_use,
        ((1, 2), 2),
    ),
    Case(
        errors.CallUnbindOnUnboundModuleError,
        "Call `unbind` on a module that `bind` returned",
        lambda: nn.Dense(2).unbind(),
        unbind_what_bind_returned,
        (1, 2),
    ),
    Case(
        errors.CallShareScopeOnUnboundModuleError,
        "Call `nn.share_scope` in `setup` or in a compact method",
        lambda: nn.share_scope(Coder(), nn.Dense(2)),
        lambda: (names_of(SharesInSetup()), names_of(SharesInCompactMethod())),
        (["bias", "kernel"], ["bias", "kernel"]),
    ),
    Case(
        errors.InvalidInstanceModuleError,
        "Create an instance first: `Model(...).init(...)`",
        lambda: MakesInSetup.init(KEY, X),
        lambda: sorted(MakesInSetup().init(KEY, X)),
        ["params"],
    ),
    Case(
        errors.IncorrectPostInitOverrideError,
        "Add it as its last line",
        lambda: ForgetsBase().init(KEY, X),
        lambda: shape_of(CallsBase()),
        (1, 3),
    ),
    Case(
        errors.CursorFindError,
        "Change the condition",
        lambda: nn.cursor.cursor({"a": 1, "b": 1}).find(lambda path, x: x == 1),
        lambda: nn.cursor.cursor({"a": 1, "b": 1}).find(lambda path, x: path == "b").set(2),
        {"a": 1, "b": 2},
    ),
]
