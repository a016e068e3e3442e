"""Names that libraries use although flax does not document them."""

import dataclasses
import importlib
import inspect
import json

import flax.core
import flax.core.lift
import flax.core.tracers
import flax.linen
import flax.linen.kw_only_dataclasses
import flax.serialization
import flax.traceback_util
import jax
import jax.numpy as jnp
import msgpack
import numpy as np
import pytest

import linen_core as nn
import linen_core.kw_only_dataclasses
import linen_store
from linen_core import lift, scope, tracers
from linen_core.migration.flax_names import counterpart
from linen_store import serialization
from linen_summary import summarize
from parity._compare import assert_same_error, assert_same_tree, plain

X = jax.random.normal(jax.random.key(0), (4, 5, 6))

# Found in public repositories: praxis, kauldron, gemma, maxtext, vmoe, scico, purejaxrl, and others.
NAMES = [
    "flax.core.lift.CollectionFilter",
    "flax.core.lift.PRNGSequenceFilter",
    "flax.core.lift.pack",
    "flax.core.scope.FrozenDict",
    "flax.core.scope.freeze",
    "flax.core.scope.unfreeze",
    "flax.core.spmd.get_logical_axis_rules",
    "flax.core.spmd.logical_axis_rules",
    "flax.core.spmd.set_logical_axis_rules",
    "flax.core.tracers.check_trace_level",
    "flax.core.tracers.current_trace",
    "flax.linen.kw_only_dataclasses.KW_ONLY",
    "flax.linen.kw_only_dataclasses.dataclass",
    "flax.linen.kw_only_dataclasses.field",
    "flax.linen.linear._Conv",
    "flax.linen.linear._canonicalize_tuple",
    "flax.linen.linear._conv_dimension_numbers",
    "flax.linen.linear._normalize_axes",
    "flax.linen.linear.default_kernel_init",
    "flax.linen.module.FrozenVariableDict",
    "flax.linen.module.Scope",
    "flax.linen.module._Sentinel",
    "flax.linen.module._context",
    "flax.linen.module._freeze_attr",
    "flax.linen.module.wrap_method_once",
    "flax.linen.normalization._abs_sq",
    "flax.linen.normalization._canonicalize_axes",
    "flax.linen.normalization._compute_stats",
    "flax.linen.normalization._l2_normalize",
    "flax.linen.normalization._normalize",
    "flax.linen.normalization.canonicalize_dtype",
    "flax.linen.partitioning._add_axis_to_metadata",
    "flax.linen.partitioning._param_with_axes_sow_reduce_fn",
    "flax.linen.partitioning.get_axis_names",
    "flax.linen.summary._ArrayRepresentation",
    "flax.linen.summary._ObjectRepresentation",
    "flax.linen.transforms.Target",
    "flax.linen.transforms.lift_transform",
    "flax.serialization._msgpack_ext_pack",
    "flax.serialization._msgpack_ext_unpack",
    "flax.traverse_util._EmptyNode",
    "flax.traverse_util._get_params_dict",
    "flax.traverse_util._sorted_items",
    "flax.traceback_util.api_boundary",
    "flax.traceback_util.register_exclusion",
]


def both(dotted):
    """The object of Linen and that of flax."""
    module, _, name = dotted.rpartition(".")
    return counterpart(dotted).load(), getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", NAMES)
def test_name_has_a_counterpart_with_the_same_arguments(name):
    ours, theirs = both(name)
    if inspect.isfunction(theirs):
        found, expected = (inspect.signature(value).parameters for value in (ours, theirs))
        if len(expected) > 1:  # a single argument is passed by position
            assert [*found][: len(expected)] == [*expected]
        empty = inspect.Parameter.empty
        assert all(found[key].default is not empty for key in [*found][len(expected) :])


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("flax.linen.linear._canonicalize_tuple", (3,)),
        ("flax.linen.linear._canonicalize_tuple", ([3, 4],)),
        ("flax.linen.linear._conv_dimension_numbers", ((1, 8, 8, 3),)),
        ("flax.linen.linear._normalize_axes", ((-1, 0), 3)),
        ("flax.linen.normalization._abs_sq", (X + 1j * X,)),
        ("flax.linen.normalization._canonicalize_axes", (3, (-1, 1))),
        ("flax.linen.normalization._canonicalize_axes", (3, -1)),
        ("flax.linen.normalization._compute_stats", (X, (0, -1), None)),
        ("flax.linen.normalization._compute_stats", (X, 1, jnp.bfloat16, None, None, False)),
        ("flax.linen.normalization._compute_stats", (X, 1, None, None, None, True, False, X > 0)),
        ("flax.linen.normalization._l2_normalize", (X, -1)),
        ("flax.linen.normalization._l2_normalize", (X,)),
        ("flax.linen.partitioning._param_with_axes_sow_reduce_fn", ((), 1)),
        ("flax.traverse_util._get_params_dict", (flax.core.freeze({"a": {"b": 1}}),)),
        ("flax.traverse_util._get_params_dict", (3,)),
        ("flax.traverse_util._sorted_items", ({"b": 1, "a": 2},)),
    ],
)
def test_functions(name, args):
    ours, theirs = both(name)
    try:
        expected = theirs(*args)
    except Exception:
        assert_same_error(lambda: ours(*args), lambda: theirs(*args))
    else:
        assert_same_tree(ours(*args), expected)


@pytest.mark.parametrize("old", [(), "same", "other", 3])
def test_names_of_axes_are_reduced(old):
    outcomes = []
    for lib in (nn, flax.linen):
        new = lib.partitioning.AxisMetadata(names=("a", "b"))
        other = {"same": new, "other": lib.partitioning.AxisMetadata(names=("c",))}.get(old, old)
        try:
            found = lib.partitioning._param_with_axes_sow_reduce_fn(other, new)
            outcomes.append(found.names)
        except Exception as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


def renormalized(lib):
    """Batch renormalization as reinforcement learning libraries write it."""
    norm = lib.normalization

    class Renorm(lib.Module):
        @lib.compact
        def __call__(self, x):
            axes = norm._canonicalize_axes(x.ndim, -1)
            rest = tuple(i for i in range(x.ndim) if i not in axes)
            mean, var = norm._compute_stats(x, rest, None, use_fast_variance=False)
            init = lib.initializers
            return norm._normalize(
                *(self, x, mean, var, rest, axes, None, jnp.float32, 1e-3, True, True),
                *(init.zeros, init.ones),
            )

    return Renorm()


def test_batch_renormalization():
    ours, theirs = (
        renormalized(lib).init_with_output(jax.random.key(0), X) for lib in (nn, flax.linen)
    )
    assert_same_tree(plain(ours), plain(theirs))


def test_axis_names_are_frozen():
    results = []
    for lib, function in zip(
        (nn, flax.linen), both("flax.linen.partitioning.get_axis_names"), strict=True
    ):
        names = lib.partitioning.AxisMetadata(names=("a", None))
        results.append(function({"dense": {"kernel_axes": names}}))
    assert plain(results[0]) == plain(results[1])
    assert [type(result) for result in results] == [linen_store.FrozenDict, flax.core.FrozenDict]


def test_an_axis_is_added_to_sown_names():
    def shapes(lib):
        class Layer(lib.Module):
            @lib.compact
            def __call__(self, x):
                w = lib.partitioning.param_with_axes(
                    "w", jax.nn.initializers.ones, (6, 6), axes=("i", "o")
                )
                return x @ w

        mapped = lib.vmap(
            Layer, variable_axes={"params": 0, "params_axes": None}, split_rngs={"params": True}
        )
        layer = lib.partitioning._add_axis_to_metadata(mapped, axis_pos=0, axis_name="experts")
        variables = layer().init(jax.random.key(0), X)
        return variables["params"]["w"].shape, variables["params_axes"]["w_axes"].names

    assert shapes(nn) == shapes(flax.linen) == ((4, 6, 6), ("experts", "i", "o"))


def test_pack():
    def scaled(lib, fn, factor):
        def inner(scope_fn, repack_fn, variable_groups, rng_groups, x, scale=1):
            params, rest = variable_groups
            params = jax.tree.map(lambda w: w * factor, params)

            def run(x):
                inside = scope_fn((params, rest), rng_groups)
                return fn(inside, x) * scale, repack_fn(inside)

            return jax.jit(run)(x)

        return lib.pack(
            inner, ("params", True), (False, True), (True,), name="scaled", enable_kwargs=True
        )

    def body(inside, x):
        inside.variable("state", "n", lambda: jnp.zeros(())).value += 1
        return x * inside.get_variable("params", "w") + jax.random.normal(inside.make_rng("noise"))

    results = []
    for lib, run in ((lift, scope.apply), (flax.core.lift, flax.core.apply)):
        function = run(lambda s, x, lib=lib: scaled(lib, body, 3)(s, x, scale=2), mutable="state")
        results.append(
            function({"params": {"w": jnp.ones(2)}}, 2.0, rngs={"noise": jax.random.key(1)})
        )
    assert_same_tree(*map(plain, results))


def test_extension_types_of_messagepack():
    tree = {
        "a": np.arange(3, dtype=np.int16),
        "b": np.float32(2),
        "c": 1 + 2j,
        "d": jnp.ones(2, jnp.bfloat16),
    }
    for ours, theirs in ((serialization, flax.serialization), (flax.serialization, serialization)):
        packed = msgpack.packb(tree, default=ours._msgpack_ext_pack, strict_types=True)
        found = msgpack.unpackb(packed, ext_hook=theirs._msgpack_ext_unpack)
        assert_same_tree(found, {**tree, "d": np.asarray(tree["d"])})


def test_rows_of_a_summary_hold_the_types():
    row = summarize(nn.Dense(3), jax.random.key(0), X)[0]
    assert isinstance(row.outputs, nn.summary._ArrayRepresentation)
    assert not isinstance(row.outputs, nn.summary._ObjectRepresentation)
    assert nn.summary._ObjectRepresentation(json).obj is json


def test_attributes_are_frozen():
    value = {"a": [1, {"b": (2, [3])}]}
    ours, theirs = (freeze(value) for freeze in both("flax.linen.module._freeze_attr"))
    assert plain(ours) == plain(theirs)
    for lib in (nn, flax.linen):
        assert lib.module._context.module_stack == [None]
        parent = lib.Dense.__dataclass_fields__["parent"].default
        assert isinstance(parent, lib.module._Sentinel)


@pytest.mark.parametrize("lib", [tracers, flax.core.tracers])
def test_the_running_trace(lib):
    outside = lib.current_trace()
    assert outside == lib.current_trace()
    assert (
        jax.eval_shape(lambda: (lib.check_trace_level(outside), lib.current_trace() == outside)[0])
        is None
    )
    seen = []
    jax.eval_shape(lambda: seen.append(lib.current_trace() == outside))
    assert seen == [False]


@pytest.mark.parametrize(
    "lib", [linen_core.kw_only_dataclasses, flax.linen.kw_only_dataclasses], ids=["linen", "flax"]
)
def test_keyword_only_fields(lib):
    @lib.dataclass
    class Parent:
        name: str = lib.field(default="x", kw_only=True, metadata={"m": 1})

    @lib.dataclass(frozen=True, extra_fields=[("more", int, dataclasses.field(default=7))])
    class Marked:
        size: int
        _: lib.KW_ONLY
        scale: float = 2.0

    @lib.dataclass
    class Child(Parent):
        size: int

    assert (Child(3), Child(3, name="y").name) == (Child(3, name="x"), "y")
    assert dataclasses.fields(Parent)[0].metadata["m"] == 1
    assert (Marked(1, scale=3.0).scale, Marked(1).more) == (3.0, 7)
    with pytest.raises(TypeError):
        Child(3, "y")
    with pytest.raises(ValueError, match=r"[Kk]eyword-only field"):
        lib.field(kw_only=True)
    with pytest.raises(ValueError, match="xtra"):
        lib.dataclass(extra_fields=[("more", int, 3)])(type("Other", (), {"__annotations__": {}}))


def test_keyword_only_fields_of_a_module():
    def shapes(lib):
        class Model(lib.Module):
            features: int
            scale: float = lib.kw_only_dataclasses.field(default=2.0, kw_only=True)

            @lib.compact
            def __call__(self, x):
                return lib.Dense(self.features)(x) * self.scale

        return Model(3, scale=3.0).init_with_output(jax.random.key(0), X)

    assert_same_tree(*(plain(shapes(lib)) for lib in (nn, flax.linen)))


def test_frames_of_a_library_are_hidden(tmp_path):
    file = tmp_path / "library.py"
    file.write_text("def call(f):\n    return f()\n")
    names = {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    library = names["call"]

    def frames():
        try:
            nn.traceback_util.api_boundary(library)(lambda: 1 / 0)
        except ZeroDivisionError as error:
            found, trace = [], error.__traceback__
            while trace is not None:
                found.append(trace.tb_frame.f_code.co_filename)
                trace = trace.tb_next
            return found

    assert str(file) in frames()
    nn.traceback_util.register_exclusion(str(file))
    assert str(file) not in frames()
