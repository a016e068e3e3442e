import flax.linen as nn
import flax
import jax
import jax.numpy as jnp

from common import MLP, default_init

LOG_STD_MIN = -10.0
LOG_STD_MAX = 2.0


@flax.struct.dataclass
class TanhNormal:
	"""A squashed diagonal Gaussian. This file is indented with tabs."""

	mean: jnp.ndarray
	log_std: jnp.ndarray

	def sample(self, key):
		return jnp.tanh(self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape))

	def sample_and_log_prob(self, key):
		noise = jax.random.normal(key, self.mean.shape)
		raw = self.mean + jnp.exp(self.log_std) * noise
		log_prob = -0.5 * (noise**2 + jnp.log(2 * jnp.pi)) - self.log_std
		log_prob -= 2 * (jnp.log(2.0) - raw - nn.softplus(-2 * raw))
		return jnp.tanh(raw), log_prob.sum(-1)

	def mode(self) -> "jnp.ndarray":
		return jnp.tanh(self.mean)


class NormalTanhPolicy(nn.Module):
	hidden_dims: tuple
	action_dim: int
	state_dependent_std: bool = True

	def setup(self):
		self.trunk = MLP(self.hidden_dims, activate_final=True)
		self.means = nn.Dense(self.action_dim, kernel_init=default_init())
		if self.state_dependent_std:
			self.log_stds = nn.Dense(self.action_dim, kernel_init=default_init(1e-2))
		else:
			self.log_stds = self.param("log_stds", nn.initializers.zeros, (self.action_dim,))

	def __call__(self, observations, temperature: float = 1.0, training: bool = False) -> "flax.struct.PyTreeNode":
		features = self.trunk(observations, training=training)
		log_std = self.log_stds(features) if self.state_dependent_std else self.log_stds
		log_std = jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX)
		means = self.means(features)
		return TanhNormal(means, jnp.broadcast_to(log_std + jnp.log(temperature), means.shape))
