"""Every error of modules, scopes and transforms: its full text, its builtin base, its data, and its pickle."""

import pickle

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core import errors

CASES = [
    (
        errors.InvalidFilterError(3),
        TypeError,
        "Invalid filter 3: expected a bool, a name, a collection of names or a DenyList.",
    ),
    (
        errors.JaxTransformError(),
        Exception,
        "A JAX transform was applied to a function that uses a module. Use the transform of the same name of "
        "linen_core (nn.vmap, nn.scan, ...), which passes the variables through.",
    ),
    (
        errors.LazyInitError("float32[2]"),
        ValueError,
        "Cannot initialise a variable of float32[2]: its initial value depends on an argument of which only the "
        "shape was given. Pass that argument as an array.",
    ),
    (
        errors.ApplyScopeInvalidVariablesTypeError("a tuple"),
        TypeError,
        "Invalid variables: expected a dict of collections, each a dict with string keys, such as "
        "{'params': {...}}, found a tuple. Parameters alone are passed as {'params': parameters}.",
    ),
    (
        errors.ApplyScopeInvalidVariablesStructureError(),
        ValueError,
        "Invalid variables: found {'params': {'params': ...}}, expected {'params': ...}. "
        "Pass the inner dict, variables['params'].",
    ),
    (
        errors.ScopeParamNotFoundError("kernel", "/a/b", ["kernl", "bias"]),
        KeyError,
        "Cannot find parameter 'kernel' at params/a/b: found 'bias', 'kernl' there. Did you mean 'kernl'? "
        "Parameters are created by `init`, or by `apply` with mutable=['params'] and rngs={'params': "
        "jax.random.key(...)}.",
    ),
    (
        errors.ScopeVariableNotFoundError("mean", "stats", "/", []),
        KeyError,
        "Cannot find variable 'mean' at stats: found nothing there. To create it in `apply`, give it an initializer "
        "and pass mutable=['stats'].",
    ),
    (
        errors.ScopeCollectionNotFound("params", "w", "/a", ["stats"]),
        KeyError,
        "Cannot read 'w' at params/a: the variables do not have the collection 'params' (found 'stats'). Pass it, or "
        "let `apply` create it with mutable=['params'] and rngs={'params': jax.random.key(...)}.",
    ),
    (
        errors.ScopeCollectionNotFound("params", "w", "/a", ["param"]),
        KeyError,
        "Cannot read 'w' at params/a: the variables have 'param', but not the collection 'params'. Did you mean "
        "'param'?",
    ),
    (
        errors.ScopeCollectionNotFound("params", "w", "/", ["params"]),
        KeyError,
        "Cannot read 'w' at params: the collection 'params' is empty. Pass the variables that `init` returned.",
    ),
    (
        errors.ScopeCollectionNotFound("params", "w", "/", ["w", "b"], unwrapped=True),
        KeyError,
        "Cannot read 'w' at params: the variables hold 'b', 'w' at the top level, where collections are expected. "
        "Pass {'params': variables}.",
    ),
    (
        errors.ScopeParamShapeError("w", "/a", (3, 5), (3, 4)),
        ValueError,
        "Cannot use 'w' at params/a: expected shape (3, 4), found (3, 5) in the variables. Check the shape of the "
        "input and the module's features against those that the variables were created with.",
    ),
    (
        errors.InvalidScopeError("a"),
        RuntimeError,
        "Cannot use the scope 'a': its `init` or `apply` has ended. "
        "Use `module.bind(variables)` for a module that stays usable.",
    ),
    (
        errors.ModifyScopeVariableError("stats", "mean", "/bn"),
        ValueError,
        "Cannot write 'mean' at stats/bn: the collection 'stats' is immutable. Pass mutable=['stats'] to `apply` and "
        "use the updated variables that it returns, or pass it to `bind` and read them from the bound module.",
    ),
    (
        errors.PartitioningUnspecifiedError(nn.Partitioned(1, names=("a",))),
        ValueError,
        "Cannot add an axis to Partitioned(names=('a',)): the transform does not name it. Pass "
        "metadata_params={nn.PARTITION_NAME: <mesh axis or None>} to the transform.",
    ),
    (
        errors.NameInUseError("param", "w", "Model"),
        ValueError,
        "Cannot create param 'w' in Model: the name is in use there. Choose another; attributes of `setup` and names "
        "given by `name=...` share one namespace with parameters.",
    ),
    (
        errors.AssignSubModuleError("Dense"),
        RuntimeError,
        "Cannot create submodule Dense here: submodules are created in `setup` or in a method wrapped in "
        "`@nn.compact`. "
        "Wrap this method, or move the submodule to `setup`.",
    ),
    (
        errors.SetAttributeInModuleSetupError(),
        AttributeError,
        "Cannot assign to a dataclass field in `setup`: fields are the module's configuration. "
        "Assign to an attribute of another name.",
    ),
    (
        errors.SetAttributeFrozenModuleError("Model", "a", 3),
        AttributeError,
        "Cannot set a=3 on Model: a module is frozen outside of `setup`. Assign it in `setup`, or create a changed "
        "copy with `module.clone(a=...)` if it is a field.",
    ),
    (
        errors.MultipleMethodsCompactError(),
        Exception,
        "Only one method of this class may be wrapped in `@nn.compact`.",
    ),
    (
        errors.ReservedModuleAttributeError({"parent": int}),
        TypeError,
        "Cannot annotate `parent` or `name` in a module: every module has them. Found {'parent': <class 'int'>}. "
        "Leave the annotation out, or give the field another name.",
    ),
    (
        errors.ApplyModuleInvalidMethodError(3),
        TypeError,
        "Cannot apply 3: expected a method of the module, its name, or a function whose first argument is the module.",
    ),
    (
        errors.CallCompactUnboundModuleError("Dense"),
        RuntimeError,
        "Cannot call a compact method of Dense: it has no variables. Use `variables = module.init(key, x)` and "
        "`module.apply(variables, x)`, or `module.bind(variables)(x)`.",
    ),
    (
        errors.CallSetupUnboundModuleError(),
        RuntimeError,
        "Cannot call `setup` directly: it runs automatically when a module is used in `init`, `apply` or after `bind`.",
    ),
    (
        errors.CallUnbindOnUnboundModuleError(),
        RuntimeError,
        "Cannot unbind a module that is not bound. Call `unbind` on a module that `bind` returned.",
    ),
    (
        errors.CallShareScopeOnUnboundModuleError(),
        RuntimeError,
        "Cannot share the scope of an unbound module. Call `nn.share_scope` in `setup` or in a compact method.",
    ),
    (
        errors.InvalidInstanceModuleError(),
        TypeError,
        "Cannot call `init`, `apply` or `bind` on a module class. Create an instance first: `Model(...).init(...)`.",
    ),
    (
        errors.IncorrectPostInitOverrideError(),
        TypeError,
        "`__post_init__` was overridden without a call of `super().__post_init__()`. Add it as its last line.",
    ),
    (
        errors.TransformedMethodReturnValueError("f", "Block at a/b"),
        TypeError,
        "Cannot return a module or a variable from the transformed method 'f' of Block at a/b: it is valid only inside "
        "the transform. Return its value.",
    ),
    (
        errors.TransformTargetError(3),
        TypeError,
        "Cannot transform 3: expected a module class or a function whose first argument is a module. For `lambda: "
        "Block(...)` pass the class, as in nn.scan(Block, ...), and pass the fields of Block to the class that nn.scan "
        "returns.",
    ),
    (
        errors.UnmappedCollectionError("scan", "/a", {"stats", "b"}),
        ValueError,
        "Cannot bring 'b', 'stats' out of nn.scan at /a: the collection was written inside, and no argument says how "
        "it comes out. Name it in variable_axes, variable_broadcast or variable_carry.",
    ),
    (
        errors.UnmappedCollectionError("jit", "/a", {"b"}),
        ValueError,
        "Cannot bring 'b' out of nn.jit at /a: the collection was written inside, and no argument says how it comes "
        "out. Name it in variables.",
    ),
    (
        errors.UnliftedCollectionError("while_loop", "params", "w", "/a"),
        errors.ScopeCollectionNotFound,
        "Cannot read 'w' at params/a: nn.while_loop does not bring the collection 'params' inside. Name it in "
        "carry_variables or broadcast_variables.",
    ),
    (
        errors.UnliftedWriteError("map_variables", "params", "w", "/a"),
        errors.ModifyScopeVariableError,
        "Cannot write 'w' at params/a: nn.map_variables does not bring the collection 'params' out. Name it in "
        "mapped_collections with mutable=True, or in variables.",
    ),
    (
        errors.MissingRngSplitError("vmap", "dropout", "/a"),
        errors.InvalidRngError,
        "Cannot draw a key of stream 'dropout' in /a: nn.vmap does not bring the stream inside. Pass "
        "split_rngs={'dropout': True} for a key per step or index, or False for one key.",
    ),
    (
        errors.MissingRngSplitError("jit", "dropout", "/a"),
        ValueError,
        "Cannot draw a key of stream 'dropout' in /a: nn.jit does not bring the stream inside. Name it in rngs.",
    ),
    (
        errors.MissingRngSplitError("vmap", "dropout", "/a", passed=False),
        errors.InvalidRngError,
        "Cannot draw a key of stream 'dropout' in /a: no key was passed for it, and nn.vmap does not bring its "
        "fallback, the stream 'params', inside. Pass rngs={'dropout': jax.random.key(...)} to `apply`, "
        "`init` or `bind`. Pass split_rngs={'dropout': True} for a key per step or index, or False for one key.",
    ),
    (
        errors.TracedWriteError("state", "n", "/a"),
        errors.JaxTransformError,
        "Cannot write 'n' at state/a: the value belongs to a JAX transform that began after `init`, `apply` or `bind`, "
        "and is invalid outside of it. Inside a transform of linen_core write through the module that the function "
        "gets as "
        "its first argument, not through one from outside. Replace a plain JAX transform by the one of linen_core "
        "(nn.scan, nn.vmap, nn.remat, ...).",
    ),
    (
        errors.StaticArgumentError("remat", "Block.__call__ at /a", "it has no argument number 3"),
        ValueError,
        "Cannot call Block.__call__ at /a under nn.remat: it has no argument number 3. Name only arguments that are "
        "hashable Python values in static_argnums, and count the module as number 0.",
    ),
    (
        errors.TracedFlagError("jit", "Block.__call__ at /a", {"train": "True"}, {"train": 2}),
        jax.errors.TracerBoolConversionError,
        "Cannot call Block.__call__ at /a under nn.jit: the method uses the value of a Python argument, but arguments "
        "that are not static become traced arrays. The Python values passed are train=True. For those it branches on, "
        "pass static_argnums=(2,) to nn.jit, where the module is number 0.",
    ),
    (
        errors.ScanCarryError("scan", "/a", ["state/n"], []),
        TypeError,
        "Cannot carry variables through nn.scan at /a: the loop creates 'state/n', but a carried variable must exist "
        "before it. Name the collection in variable_axes for variables of each step, or create the variables with a "
        "module that has it in variable_broadcast.",
    ),
    (
        errors.ScanCarryError("while_loop", "/a", [], ["state/n from float32[] to float32[2]"]),
        TypeError,
        "Cannot carry variables through nn.while_loop at /a: a step changes 'state/n from float32[] to float32[2]'. "
        "Create the variables before the loop, with the shapes and dtypes that a step writes.",
    ),
    (
        errors.UnboundAxisError("BatchNorm at /a", "axis_name", "'batch'", "the name of an axis"),
        NameError,
        "Cannot apply BatchNorm at /a: `axis_name` is 'batch', expected the name of an axis.",
    ),
    (
        errors.StoreTracedError("MyStore"),
        RuntimeError,  # JAX replaces a TypeError by one of its own
        "Cannot pass a MyStore to a JAX transform, which takes arrays and containers of arrays. Read the store first:\n"
        "    variables = store.snapshot()\n"
        "    jax.jit(model.apply)(variables, x)",
    ),
    (
        errors.TransformAxisError("vmap", "in_axes", 5, 2, "/a"),
        IndexError,
        "Cannot vmap /a over axis 5 of an array with 2 axes. Change in_axes.",
    ),
    (
        errors.UnknownMeshAxisError(
            ("embed", None), ("modle", None), ("modle",), ("model",), "M at a"
        ),
        ValueError,
        "Cannot shard an array with axes ('embed', None) in M at a as ('modle', None): the mesh has no axis 'modle', "
        "only 'model'. Did you mean 'model'? Change the rules, the names or the mesh.",
    ),
    (
        errors.LazyStoreTracedError("CheckpointStore", "params", ("a", "w")),
        RuntimeError,
        "Cannot read 'params/a/w' from a CheckpointStore inside a JAX transform: it would become a constant of the "
        "program. Read first, then trace:\n"
        "    variables = store.snapshot()\n"
        "    jax.jit(model.apply)(variables, x)",
    ),
    (
        errors.StorePathError("params", ("a",)),
        KeyError,
        "Cannot find 'params/a' in the store: nothing is stored there.",
    ),
    (
        errors.StoreReadOnlyError("Zip", "params", ("a",)),
        TypeError,
        "Cannot write 'params/a': Zip is read-only. Call `store.snapshot()` for a plain nested dict, and change that.",
    ),
    (
        errors.StoreClosedError("Zip"),
        ValueError,
        "Cannot read from a closed Zip. Open it again, or read inside its `with` block.",
    ),
]


@pytest.mark.parametrize(("error", "base", "text"), CASES, ids=lambda value: type(value).__name__)
def test_text_base_and_pickle(error, base, text):
    assert str(error) == text
    assert isinstance(error, base)
    assert isinstance(error, errors.LinenError)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == text
    assert again.__dict__ == error.__dict__


class Broken(nn.Module):
    @property
    def size(self):
        return self.nothing

    def __call__(self, x):
        return self.size


def test_a_property_shows_its_real_cause():
    with pytest.raises(errors.DescriptorAttributeError) as caught:
        Broken().init(jax.random.key(0), 1)
    assert str(caught.value) == (
        "Cannot compute Broken.size: its code raised an AttributeError: 'Broken' object has no attribute "
        "'nothing'."
    )
    assert isinstance(caught.value.__cause__, AttributeError)


class Outer(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(4, name="inner")(x)


def failure(variables):
    with pytest.raises(errors.LinenError) as caught:
        Outer().apply(variables, jnp.ones((1, 3)))
    return str(caught.value)


def test_four_mistakes_read_differently():
    variables = Outer().init(jax.random.key(0), jnp.ones((1, 3)))
    texts = [
        failure({}),
        failure({"parms": variables["params"]}),
        failure(variables["params"]),
        failure({"params": {"inner": {"bias": variables["params"]["inner"]["bias"]}}}),
    ]
    assert texts == [
        "Cannot read 'kernel' at params/inner: the variables do not have the collection 'params' (found nothing). "
        "Pass it, or let `apply` create it with mutable=['params'] and rngs={'params': jax.random.key(...)}.",
        "Cannot read 'kernel' at params/inner: the variables have 'parms', but not the collection 'params'. Did you "
        "mean 'parms'?",
        "Cannot read 'kernel' at params/inner: the variables hold 'inner' at the top level, where collections are "
        "expected. Pass {'params': variables}.",
        "Cannot find parameter 'kernel' at params/inner: found 'bias' there. Parameters are created by `init`, or by "
        "`apply` with mutable=['params'] and rngs={'params': jax.random.key(...)}.",
    ]
