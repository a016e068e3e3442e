import typing

import flax
import jax
import jax.numpy as jnp
import pytest

import networks
from common import MLP
from networks.critic import subsample

X, A = jnp.ones(4), jnp.ones(2)


def test_critics_differ():
    critic = networks.DoubleCritic((8,), num_qs=3)
    qs, variables = critic.init_with_output(jax.random.PRNGKey(0), X, A)
    assert qs.shape == (3,) and len(set(qs.tolist())) == 3
    subset = subsample(jax.random.PRNGKey(1), variables["params"], 2, 3)
    assert critic.clone(num_qs=2).apply({"params": subset}, X, A).shape == (2,)


class Small(MLP):
    hidden_dims: tuple = (8, 1)
    dropout_rate: float = 0.5


def test_ensemble_shares_the_input():
    ensemble = networks.Ensemble(Small, num=2)
    out, variables = ensemble.init_with_output(jax.random.PRNGKey(0), X)
    assert out.shape == (2, 1)
    with pytest.raises(flax.errors.ScopeParamShapeError):
        ensemble.apply(variables, jnp.ones(5))


def test_annotations_can_be_read():
    hints = typing.get_type_hints(networks.NormalTanhPolicy.__call__)
    assert hints["return"] is flax.struct.PyTreeNode


def test_policy_is_bounded():
    policy = networks.NormalTanhPolicy((8,), 2, state_dependent_std=False)
    variables = policy.init(jax.random.PRNGKey(0), X)
    actions, log_prob = policy.apply(variables, X).sample_and_log_prob(jax.random.PRNGKey(1))
    assert abs(actions).max() <= 1 and log_prob.shape == ()
    assert "log_stds" in variables["params"]
