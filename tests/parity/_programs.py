"""What the parity tests of modules share: inputs, a simple layer, and what is compared of a model."""

import jax
import jax.numpy as jnp

KEY = jax.random.key(1)
X = jnp.linspace(-1.0, 1.0, 6).reshape(2, 3)
ONES = jax.nn.initializers.ones


def dense(lib):
    class Dense(lib.Module):
        features: int
        use_bias: bool = True

        @lib.compact
        def __call__(self, x):
            kernel = self.param(
                "kernel", jax.nn.initializers.lecun_normal(), (x.shape[-1], self.features)
            )
            y = x @ kernel
            return y + self.param("bias", ONES, (self.features,)) if self.use_bias else y

        @property
        def twice(self):
            return 2 * self.features

    return Dense


def everything(module, *args, **kwargs):
    """What init gives, and what apply gives with all that can be captured."""
    y, variables = module.init_with_output(KEY, *args, **kwargs)
    captured = module.apply(
        variables, *args, mutable=True, capture_intermediates=True, rngs=KEY, **kwargs
    )
    return y, variables, captured


def collect(programs):
    """A decorator that keeps programs by name."""

    def program(fn):
        programs[fn.__name__] = fn
        return fn

    return program
