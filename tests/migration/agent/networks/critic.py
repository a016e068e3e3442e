from typing import Any, Callable, Sequence, Type

import jax.numpy as jnp
from flax import linen as nn

from common import MLP


class Critic(nn.Module):
    hidden_dims: Sequence[int]
    activations: Callable = nn.relu

    @nn.compact
    def __call__(self, observations, actions):
        inputs = jnp.concatenate([observations, actions], -1)
        critic = MLP((*self.hidden_dims, 1), activations=self.activations)(inputs)
        return jnp.squeeze(critic, -1)


class DoubleCritic(nn.Module):
    """Several critics whose parameters are stacked."""

    hidden_dims: Sequence[int]
    activations: Callable = nn.relu
    num_qs: int = 2

    @nn.compact
    def __call__(self, states, actions):
        VmapCritic = nn.vmap(
            Critic,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=None,
            out_axes=0,
            axis_size=self.num_qs,
        )
        return VmapCritic(self.hidden_dims, activations=self.activations)(states, actions)


class Ensemble(nn.Module):
    net_cls: "Type[nn.Module]"
    num: int = 3

    @nn.compact
    def __call__(self, *args):
        ensemble = nn.vmap(
            self.net_cls,
            variable_axes={'params': 0},
            split_rngs={'params': True, 'dropout': True},
            in_axes=None,
            out_axes=0,
            axis_size=self.num,
        )
        return ensemble()(*args)


def subsample(key: Any, params, num: int, num_qs: int):
    """Take some of the stacked critics."""
    import jax
    from flax.core import frozen_dict as fd

    index = jax.random.choice(key, num_qs, shape=(num,), replace=False)
    name, = [name for name in params if 'Critic' in name]
    taken = jax.tree_util.tree_map(lambda p: p[index], params[name])
    return fd.copy(params, {name: taken})
