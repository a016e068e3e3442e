import jax.numpy as jnp
from flax.linen import Module, compact


class Temperature(Module):
    initial: float = 1.0

    @compact
    def __call__(self) -> jnp.ndarray:
        log_temp = self.param("log_temp", init_fn=lambda key: jnp.full((), jnp.log(self.initial)))
        return jnp.exp(log_temp)
