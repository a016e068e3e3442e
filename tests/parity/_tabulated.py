"""Models of every kind whose tables are compared: each a function of the library that returns a module and its inputs."""

import functools

import jax
import jax.numpy as jnp

from parity._programs import collect

MODELS = {}
model = collect(MODELS)

IMAGES = jnp.ones((2, 8, 8, 3))
TOKENS = jnp.ones((2, 6), jnp.int32)
SEQUENCE = jnp.ones((2, 6, 4))
ROWS = jnp.ones((16, 9))


@model
def mlp(lib):
    return lib.Sequential([lib.Dense(8), lib.relu, lib.Dense(4), lib.gelu, lib.Dense(2)]), (ROWS,)


@model
def sequences(lib):
    """Alike but for what lies deep in their fields."""
    inner = lib.Dense(4)
    for _ in range(4):
        inner = lib.Sequential([lib.Dense(4), lib.relu, inner])
    return inner, (ROWS,)


@model
def cnn(lib):
    class CNN(lib.Module):
        @lib.compact
        def __call__(self, x, train):
            for features in (4, 8):
                x = lib.Conv(features, (3, 3))(x)
                x = lib.relu(lib.BatchNorm(use_running_average=not train)(x))
                x = lib.avg_pool(x, (2, 2), (2, 2))
            x = lib.Dropout(0.5, deterministic=True)(x.reshape(len(x), -1))
            return lib.Dense(10)(x)

    return CNN(), (IMAGES, True)


@model
def cnn_inference(lib):
    module, (images, _) = cnn(lib)
    return module, (images, False)


@model
def convolutions(lib):
    class Convolutions(lib.Module):
        @lib.compact
        def __call__(self, x):
            x = lib.Conv(6, (3, 3), feature_group_count=3)(x)
            x = lib.Conv(6, (3, 3), kernel_dilation=2, padding="VALID")(x)
            x = lib.ConvTranspose(4, (3, 3), strides=(2, 2))(x)
            x = lib.Conv(4, (3, 3), strides=2, padding="CIRCULAR", use_bias=False)(x)
            return lib.max_pool(lib.GroupNorm(2)(x), (2, 2))

    return Convolutions(), (IMAGES,)


@model
def conv_local(lib):
    return lib.ConvLocal(4, (3,)), (SEQUENCE,)


@model
def residual_network(lib):
    class Block(lib.Module):
        features: int
        strides: tuple = (1, 1)

        @lib.compact
        def __call__(self, x):
            norm = functools.partial(lib.BatchNorm, use_running_average=False)
            y = lib.Conv(self.features, (3, 3), self.strides, use_bias=False)(x)
            y = lib.Conv(self.features, (3, 3), use_bias=False)(lib.relu(norm()(y)))
            y = norm(scale_init=lib.initializers.zeros_init())(y)
            if x.shape != y.shape:
                x = norm(name="norm_proj")(
                    lib.Conv(self.features, (1, 1), self.strides, name="conv_proj")(x)
                )
            return lib.relu(x + y)

    class ResNet(lib.Module):
        @lib.compact
        def __call__(self, x):
            x = lib.max_pool(lib.Conv(4, (7, 7), (2, 2))(x), (3, 3), (2, 2), "SAME")
            for features in (4, 8):
                for block in range(2):
                    strides = (2, 2) if features > 4 and block == 0 else (1, 1)
                    x = Block(features, strides)(x)
            return lib.Dense(10)(x.mean((1, 2)))

    return ResNet(), (jnp.ones((2, 16, 16, 3)),)


def encoder_block(lib, heads=2):
    class Mlp(lib.Module):
        @lib.compact
        def __call__(self, x):
            return lib.Dense(x.shape[-1])(lib.gelu(lib.Dense(2 * x.shape[-1])(x)))

    class EncoderBlock(lib.Module):
        @lib.compact
        def __call__(self, x, mask=None):
            y = lib.MultiHeadDotProductAttention(num_heads=heads)(lib.LayerNorm()(x), mask=mask)
            return x + y + Mlp()(lib.LayerNorm()(x))

    return EncoderBlock


@model
def transformer(lib):
    block = encoder_block(lib)

    class Transformer(lib.Module):
        @lib.compact
        def __call__(self, tokens):
            x = lib.Embed(16, 8)(tokens)
            for _ in range(3):
                x = block()(x)
            return lib.Dense(16)(lib.LayerNorm()(x))

    return Transformer(), (TOKENS,)


@model
def masked_decoder(lib):
    block = encoder_block(lib)

    class Decoder(lib.Module):
        @lib.compact
        def __call__(self, tokens):
            embed = lib.Embed(16, 8)
            x = block()(embed(tokens), mask=lib.make_causal_mask(tokens))
            return embed.attend(x)

    return Decoder(), (TOKENS,)


@model
def decoder_with_cache(lib):
    return lib.MultiHeadDotProductAttention(num_heads=2, decode=True), (SEQUENCE[:, :1],)


@model
def vision_transformer(lib):
    block = encoder_block(lib)

    class ViT(lib.Module):
        def setup(self):
            self.patches = lib.Conv(8, (4, 4), (4, 4), padding="VALID")
            self.blocks = [block() for _ in range(2)]
            self.heads = {"label": lib.Dense(3), "box": lib.Dense(4)}

        def __call__(self, x):
            x = self.patches(x).reshape(len(x), -1, 8)
            for layer in self.blocks:
                x = layer(x)
            return {name: head(x.mean(1)) for name, head in self.heads.items()}

    return ViT(), (IMAGES,)


def recurrent(name):
    def make(lib):
        return lib.RNN(getattr(lib, name)(5)), (SEQUENCE,)

    make.__name__ = name.lower()
    model(make)


for cell in ("LSTMCell", "OptimizedLSTMCell", "GRUCell", "MGUCell", "SimpleCell"):
    recurrent(cell)


@model
def bidirectional(lib):
    return lib.Bidirectional(lib.RNN(lib.GRUCell(3)), lib.RNN(lib.LSTMCell(3))), (SEQUENCE,)


@model
def conv_lstm(lib):
    return lib.RNN(lib.ConvLSTMCell(2, (3, 3))), (jnp.ones((1, 3, 4, 4, 2)),)


def carry_block(lib):
    class CarryBlock(lib.Module):
        @lib.compact
        def __call__(self, x, _):
            return lib.LayerNorm()(x + lib.Dense(x.shape[-1])(x)), None

    return CarryBlock


@model
def scanned(lib):
    class Scanned(lib.Module):
        @lib.compact
        def __call__(self, x):
            layers = lib.scan(
                carry_block(lib),
                variable_axes={"params": 0},
                split_rngs={"params": True},
                length=4,
            )
            return layers(name="layers")(x, None)[0]

    return Scanned(), (SEQUENCE,)


@model
def rematerialized(lib):
    class Remat(lib.Module):
        @lib.compact
        def __call__(self, x):
            for _ in range(2):
                x = lib.remat(encoder_block(lib))()(x)
            return x

    return Remat(), (SEQUENCE,)


@model
def scanned_and_rematerialized(lib):
    class Deep(lib.Module):
        @lib.compact
        def __call__(self, x):
            x, _ = lib.scan(
                lib.remat(carry_block(lib)),
                variable_axes={"params": 0},
                split_rngs={"params": True},
                length=3,
            )()(x, None)
            return lib.remat_scan(lib.Dense, lengths=(2, 2))(4)(x)

    return Deep(), (SEQUENCE,)


@model
def vectorized(lib):
    class Ensemble(lib.Module):
        @lib.compact
        def __call__(self, x):
            many = lib.vmap(
                lib.Dense,
                in_axes=None,
                out_axes=1,
                axis_size=3,
                variable_axes={"params": 0},
                split_rngs={"params": True},
            )
            return many(4)(x)

    return Ensemble(), (ROWS,)


@model
def jitted_and_mapped(lib):
    class Mapped(lib.Module):
        @lib.compact
        def __call__(self, x):
            x = lib.jit(lib.Dense)(4)(x)
            x = lib.jit(lib.Dense)(4)(x)
            return lib.map_variables(
                lib.Dense, "params", lambda v: v, lambda v: v, init=True, mutable=True
            )(3)(x)

    return Mapped(), (ROWS,)


@model
def shared(lib):
    class Shared(lib.Module):
        @lib.compact
        def __call__(self, x, y):
            layer = lib.Dense(4)
            return layer(x) + layer(y) + lib.Dense(4)(layer(x))

    return Shared(), (ROWS, ROWS[:1])


@model
def several_inputs_and_outputs(lib):
    class Several(lib.Module):
        @lib.compact
        def __call__(self, batch, scales, *, factor=2.0, empty=None, names=()):
            x = lib.Dense(3)(batch["x"]) * scales[0] * factor
            return {"x": x, "sums": (x.sum(0), [x.sum()]), "none": None, "empty": {}}, 3

    inputs = {"y": TOKENS, "x": ROWS}
    return Several(), (inputs, (1.5, jnp.float16(2))), {"factor": 3, "empty": {}, "names": []}


@model
def methods(lib):
    class Autoencoder(lib.Module):
        def setup(self):
            self.encoder = lib.Dense(2)
            self.decoder = lib.Dense(9)

        def encode(self, x):
            return self.encoder(x)

        def decode(self, z):
            return self.decoder(z)

        def __call__(self, x):
            return self.decode(self.encode(x))

    return Autoencoder(), (ROWS,)


@model
def partitioned(lib):
    class Partitioned(lib.Module):
        @lib.compact
        def __call__(self, x):
            kernel_init = lib.with_partitioning(lib.initializers.lecun_normal(), ("in", None))
            return lib.Dense(4, kernel_init=kernel_init)(x)

    return Partitioned(), (ROWS,)


@model
def spectral_norm(lib):
    class Normed(lib.Module):
        @lib.compact
        def __call__(self, x):
            return lib.SpectralNorm(lib.Dense(4))(x, update_stats=True)

    return Normed(), (ROWS,)


@model
def weight_norm(lib):
    class Normed(lib.Module):
        @lib.compact
        def __call__(self, x):
            return lib.WeightNorm(lib.Dense(4))(x)

    return Normed(), (ROWS,)


@model
def own_parameters(lib):
    class Affine(lib.Module):
        @lib.compact
        def __call__(self, x):
            scale = self.param("scale", lib.initializers.ones, (x.shape[-1],))
            tables = self.param("tables", lambda key: {"a": jnp.ones(3), "b": (jnp.ones(2),)})
            count = self.variable("counts", "calls", lambda: jnp.int32(0))
            count.value = count.value + 1
            return lib.Einsum((9, 2), "bi,ij->bj")(x * scale + tables["a"].sum())

    return Affine(), (ROWS,)


@model
def half_precision(lib):
    return lib.Sequential(
        [lib.Dense(8, dtype=jnp.bfloat16, param_dtype=jnp.float16), lib.RMSNorm(), lib.PReLU()]
    ), (ROWS,)


@model
def noisy(lib):
    class Noisy(lib.Module):
        @lib.compact
        def __call__(self, x):
            x = lib.Dropout(0.5, deterministic=False)(lib.Dense(4)(x))
            return x + jax.random.normal(self.make_rng("noise"), x.shape)

    return Noisy(), (ROWS,)


@model
def modules_as_arguments(lib):
    class Inner(lib.Module):
        @lib.compact
        def __call__(self, x, module):
            return module(x)

    class Outer(lib.Module):
        @lib.compact
        def __call__(self, x):
            return Inner()(x, lib.Dense(3, name="given"))

    return Outer(), (ROWS,)


@model
def odd_variables(lib):
    class Odd(lib.Module):
        @lib.compact
        def __call__(self, x):
            axes = ("embedding_dimension", "heads_dimension", "head_dimension", None)
            self.param("wide", lib.with_partitioning(lib.initializers.ones, axes), (2, 3, 4, 5))
            logical = lib.with_logical_partitioning(lib.initializers.ones, (("a", "b"), None))
            self.param("logical", logical, (2, 3))
            self.param("float8", lambda _: jnp.ones(2, jnp.float8_e4m3fn))
            self.param("int4", lambda _: jnp.ones(2, jnp.int4))
            self.variable("state", "key", lambda: jax.random.key(0))
            self.variable("state", "number", lambda: 0)
            self.variable("state", "flag", lambda: True)
            self.variable("state", "tree", lambda: {"empty": {}, "items": (jnp.ones(2), [None])})
            return lib.Partitioned(x, ("batch", "features"))

    return Odd(), (ROWS,)
