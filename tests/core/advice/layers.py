"""Errors of layers: the value that is expected, or the change that the text names."""

import functools

import jax
import jax.numpy as jnp

import linen_core as nn
from core.advice.cases import Case
from linen_core import errors

X = jax.random.normal(jax.random.key(0), (2, 5, 4))
KEYS = {"params": jax.random.key(1), "dropout": jax.random.key(2)}
QUERY = jnp.ones((3, 2, 4))


def run(layer, *args, **kwargs):
    return layer.init_with_output(KEYS, *(args or (X,)), **kwargs)[0].shape


def case(error, advice, wrong, right, expected):
    """A layer that cannot be applied to X, and one that can; or functions without arguments."""

    def program(made):
        return (lambda: run(made)) if isinstance(made, nn.Module) else lambda: made().shape

    return Case(error, advice, program(wrong), program(right), expected)


def weights(**options):
    return nn.dot_product_attention_weights(QUERY, QUERY, **options)


def attend(**options):
    return nn.dot_product_attention(QUERY, QUERY, QUERY, **options)


def heads(**fields):
    return nn.MultiHeadDotProductAttention(**{"num_heads": 2, **fields})


def attend_to(*args, **kwargs):
    return lambda: jnp.zeros(run(heads(), X, *args, **kwargs))


def with_mask(layer, mask):
    return lambda: jnp.zeros(run(layer, X, mask=mask))


def decode(first):
    """Make a cache from an input of this shape, and decode one position of X."""
    layer = heads(decode=True)
    variables = layer.init(KEYS, jnp.ones(first))
    return layer.apply(variables, X[:, :1], mutable=["cache"])[0]


def on(layer, x):
    return lambda: jnp.zeros(run(layer, x))


integers = functools.partial(nn.dtypes.promote_dtype, inexact=False)

LINEAR = [
    case(
        errors.LayerRankError,
        "expected an array of shape (..., n)",
        on(nn.Dense(2), 1.0),
        on(nn.Dense(2), jnp.ones(1)),
        (2,),
    ),
    case(
        errors.LayerArgumentError,
        "expected the leading axes 0, 1, ... without a gap",
        nn.DenseGeneral(2, axis=-1, batch_dims=(1,)),
        nn.DenseGeneral(2, axis=-1, batch_dims=(0, 1)),
        (2, 5, 2),
    ),
    case(
        errors.LayerRankError,
        "expected one that has the axes (3,)",
        nn.DenseGeneral(2, axis=3),
        on(nn.DenseGeneral(2, axis=3), X[..., None]),
        (2, 5, 4, 2),
    ),
    case(
        errors.LayerArgumentError,
        'expected an equation with an explicit "->"',
        nn.Einsum((4, 3), "abc,cd"),
        nn.Einsum((4, 3), "abc,cd->abd"),
        (2, 5, 3),
    ),
    case(
        errors.LayerArgumentError,
        "expected two operands, the input and the kernel, with one comma between them",
        nn.Einsum((4, 3), "abc->ab"),
        nn.Einsum((4, 3), "abc,cd->abd"),
        (2, 5, 3),
    ),
    case(
        errors.LayerShapeError,
        "expected a different letter for each axis of a kernel of shape (4, 4)",
        nn.Einsum((4, 4), "xyb,bb->xb"),
        nn.Einsum((4, 4), "xyb,bc->xc"),
        (2, 4),
    ),
    case(
        errors.InexactDtypeError,
        "Pass a floating-point `dtype`",
        nn.Dense(2, dtype=jnp.int32),
        nn.Dense(2, dtype=jnp.float16),
        (2, 5, 2),
    ),
    case(
        errors.InexactDtypeError,
        "nn.dtypes.promote_dtype with inexact=False",
        nn.Dense(2, dtype=jnp.int32),
        nn.Dense(2, dtype=jnp.int32, promote_dtype=integers),
        (2, 5, 2),
    ),
    case(
        errors.InexactDtypeError,
        "with inexact=False",
        lambda: nn.dtypes.promote_dtype(X, dtype=jnp.int32)[0],
        lambda: nn.dtypes.promote_dtype(X, dtype=jnp.int32, inexact=False)[0],
        (2, 5, 4),
    ),
    case(
        errors.LayerArgumentError,
        "expected integers",
        nn.Embed(3, 2),
        on(nn.Embed(3, 2), X.astype(int)),
        (2, 5, 4, 2),
    ),
]
CONVOLUTIONS = [
    case(
        errors.LayerRankError,
        "Add the missing axes",
        on(nn.Conv(3, (2, 2)), X[0]),
        on(nn.Conv(3, (2, 2)), X),
        (2, 5, 3),
    ),
    case(
        errors.LayerRankError,
        "or give `kernel_size` one number for each spatial axis",
        on(nn.Conv(3, (2, 2)), X[0]),
        on(nn.Conv(3, (2,)), X[0]),
        (5, 3),
    ),
    case(
        errors.LayerShapeError,
        "expected a multiple of `feature_group_count`, which is 3",
        nn.Conv(6, (2,), feature_group_count=3),
        on(nn.Conv(6, (2,), feature_group_count=3), jnp.ones((2, 5, 3))),
        (2, 5, 6),
    ),
    case(
        errors.LayerShapeError,
        "expected a multiple of `feature_group_count`, which is 2",
        nn.Conv(3, (2,), feature_group_count=2),
        nn.Conv(4, (2,), feature_group_count=2),
        (2, 5, 4),
    ),
    case(
        errors.UnsupportedArgumentError,
        "expected 1, as each pixel has its own kernel",
        nn.ConvLocal(4, (2,), feature_group_count=2),
        nn.ConvLocal(4, (2,), feature_group_count=1),
        (2, 5, 4),
    ),
    case(
        errors.MaskShapeError,
        "expected the kernel's shape (2, 4, 3)",
        nn.Conv(3, (2,), mask=jnp.ones(3)),
        nn.Conv(3, (2,), mask=jnp.ones((2, 4, 3))),
        (2, 5, 3),
    ),
    *(
        case(
            errors.LayerArgumentError,
            "or 1 items that are each an integer or a tuple (low, high)",
            nn.Conv(3, (2,), padding=(1, 2)),
            nn.Conv(3, (2,), padding=padding),
            shape,
        )
        for padding, shape in (
            ("SAME", (2, 5, 3)), (1, (2, 6, 3)), ([1], (2, 6, 3)), ([(1, 2)], (2, 7, 3))
        )
    ),
    case(
        errors.LayerShapeError,
        "expected one number, or 1, as many as `kernel_size` has",
        nn.Conv(3, (2,), strides=(1, 2)),
        nn.Conv(3, (2,), strides=(2,)),
        (2, 3, 3),
    ),
    case(
        errors.LayerArgumentError,
        "expected another one for 2 spatial axes",
        on(nn.Conv(3, (2, 2), padding="CAUSAL"), X[..., None]),
        on(nn.Conv(3, (2, 2), padding="SAME"), X[..., None]),
        (2, 5, 4, 3),
    ),
    case(
        errors.LayerRankError,
        "expected one of shape (batch..., space..., features) with 3 spatial axes",
        lambda: nn.max_pool(X, (2, 2, 2)),
        lambda: nn.max_pool(X[..., None], (2, 2, 2)),
        (1, 4, 3, 1),
    ),
    case(
        errors.LayerShapeError,
        "expected 1 numbers, as the window",
        lambda: nn.avg_pool(X, (2,), (2, 2)),
        lambda: nn.avg_pool(X, (2,), (2,)),
        (2, 2, 4),
    ),
    case(
        errors.LayerShapeError,
        "expected 1 pairs, as the window",
        lambda: nn.avg_pool(X, (2,), padding=((1, 1), (1, 1))),
        lambda: nn.avg_pool(X, (2,), padding=((1, 1),)),
        (2, 6, 4),
    ),
]  # fmt: skip
NORMS = [
    case(
        errors.DropoutRateError,
        "expected a probability, from 0 (keep all) to 1 (drop all)",
        nn.Dropout(-0.1, deterministic=False),
        nn.Dropout(0.1, deterministic=False),
        (2, 5, 4),
    ),
    case(
        errors.MaskShapeError,
        "expected a shape that broadcasts to the input's, (2, 5, 4)",
        with_mask(nn.LayerNorm(), jnp.ones(3)),
        with_mask(nn.LayerNorm(), jnp.ones(4)),
        (2, 5, 4),
    ),
    case(
        errors.LayerShapeError,
        "expected a divisor of the number of features, 4",
        nn.GroupNorm(3),
        nn.GroupNorm(2),
        (2, 5, 4),
    ),
    case(
        errors.LayerArgumentError,
        "Pass `num_groups=None` together with `group_size`",
        nn.GroupNorm(group_size=2),
        nn.GroupNorm(num_groups=None, group_size=2),
        (2, 5, 4),
    ),
    case(
        errors.LayerArgumentError,
        "expected axes that include the last one, which holds the features",
        nn.GroupNorm(2, reduction_axes=(1,)),
        nn.GroupNorm(2, reduction_axes=(1, -1)),
        (2, 5, 4),
    ),
    case(
        errors.LayerArgumentError,
        "expected axes other than the first, the batch",
        nn.InstanceNorm(feature_axes=0),
        nn.InstanceNorm(feature_axes=1),
        (2, 5, 4),
    ),
    case(
        errors.LayerRankError,
        "expected a layer with weights of at most two axes, as `error_on_non_matrix` is set",
        lambda: jnp.zeros(
            run(nn.SpectralNorm(nn.Conv(3, (2,)), error_on_non_matrix=True), X, update_stats=True)
        ),
        lambda: jnp.zeros(
            run(nn.SpectralNorm(nn.Dense(3), error_on_non_matrix=True), X, update_stats=True)
        ),
        (2, 5, 3),
    ),
]
ATTENTION = [
    case(
        errors.LayerShapeError,
        "expected a divisor of the number of features of queries, keys and values, 4",
        heads(num_heads=3),
        heads(num_heads=4),
        (2, 5, 4),
    ),
    case(
        errors.MaskShapeError,
        "expected a shape that broadcasts to (batch..., heads, queries, keys), which is (2, 2, 5, 5)",
        with_mask(heads(), jnp.ones((3, 3))),
        with_mask(heads(), jnp.ones((5, 5))),
        (2, 5, 4),
    ),
    case(
        errors.LayerArgumentError,
        "To use one array as keys and values, pass it as `inputs_k`",
        attend_to(None, X),
        attend_to(X),
        (2, 5, 4),
    ),
    case(
        errors.LayerArgumentError,
        "Pass `inputs_k` and `inputs_v`",
        attend_to(X, inputs_kv=X),
        attend_to(X, X),
        (2, 5, 4),
    ),
    case(
        errors.LayerArgumentError,
        "The cache was created for inputs of that batch shape",
        lambda: decode((3, 5, 4)),
        lambda: decode((2, 5, 4)),
        (2, 1, 4),
    ),
    case(
        errors.LayerShapeError,
        "expected the depth of the queries, of shape (3, 2, 4)",
        lambda: nn.dot_product_attention(QUERY, QUERY[..., :1], QUERY),
        attend,
        (3, 2, 4),
    ),
    case(
        errors.LayerArgumentError,
        "expected both of qk_attn_weights_einsum and attn_weights_value_einsum",
        lambda: attend(qk_attn_weights_einsum=jnp.einsum),
        lambda: attend(qk_attn_weights_einsum=jnp.einsum, attn_weights_value_einsum=jnp.einsum),
        (3, 2, 4),
    ),
    case(
        errors.LayerArgumentError,
        "`einsum` is given together with `precision`, expected one of the two",
        lambda: weights(precision="high", einsum=jnp.einsum),
        lambda: weights(precision="high"),
        (2, 3, 3),
    ),
    case(
        errors.LayerArgumentError,
        "Leave out `precision`: the function passed for einsum sets its own, for example functools.partial(jnp.einsum, "
        "precision=...)",
        lambda: weights(precision="high", einsum=jnp.einsum),
        lambda: weights(einsum=functools.partial(jnp.einsum, precision="high")),
        (2, 3, 3),
    ),
    case(
        errors.LayerShapeError,
        "expected masks of the same rank",
        lambda: nn.combine_masks(jnp.ones(2), jnp.ones((2, 2))),
        lambda: nn.combine_masks(jnp.ones((1, 2)), jnp.ones((2, 2))),
        (2, 2),
    ),
]
OTHERS = [
    case(
        errors.LayerArgumentError,
        "expected at least one with 2 axes or more",
        lambda: nn.BatchApply(jnp.sin)(jnp.ones(3)),
        lambda: nn.BatchApply(jnp.sin)(jnp.ones((1, 3))),
        (1, 3),
    ),
    Case(
        errors.LayerArgumentError,
        "expected a sequence of modules and functions",
        lambda: nn.Sequential(nn.Dense(1)),
        lambda: run(nn.Sequential([nn.Dense(1), nn.relu])),
        (2, 5, 1),
    ),
    case(
        errors.LayerArgumentError,
        "expected at least one module or function",
        nn.Sequential([]),
        nn.Sequential([nn.relu]),
        (2, 5, 4),
    ),
    Case(
        errors.Fp8DtypeError,
        "expected one of float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz",
        lambda: nn.fp8_ops.get_fp8_max(jnp.float16, jnp.float32),
        lambda: float(nn.fp8_ops.get_fp8_max(jnp.float8_e4m3fn, jnp.float32)),
        448.0,
    ),
    Case(
        errors.LayerArgumentError,
        "expected three: input, kernel and dimension numbers",
        lambda: run(nn.Fp8DirectDotGeneralOp(), X),
        lambda: run(nn.Fp8DirectDotGeneralOp(), X[0], X[0].T, (((1,), (0,)), ((), ()))),
        (5, 5),
    ),
]

CASES = [*LINEAR, *CONVOLUTIONS, *NORMS, *ATTENTION, *OTHERS]
