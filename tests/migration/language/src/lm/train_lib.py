import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

try:
    from flax import linen as nn
    from flax.traverse_util import flatten_dict
except ImportError as error:
    raise SystemExit("pip install the requirements first") from error

from . import checkpoints, data, sharding
from . import state as state_lib
from .config import Config
from .model import LanguageModel
from .optim import make_optimizer


def digest(params):
    sha = hashlib.sha256()
    for path, leaf in sorted(flatten_dict(params).items()):
        sha.update("/".join(path).encode())
        sha.update(np.asarray(leaf).tobytes())
    return sha.hexdigest()


def loss_fn(params, apply_fn, tokens, rng):
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    logits, sown = apply_fn(
        {"params": params}, inputs, deterministic=False, rngs={"dropout": rng}, mutable="intermediates"
    )
    weights = (targets > 0).astype(jnp.float32)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return (losses * weights).sum() / weights.sum(), sown["intermediates"]


def train_step(state, tokens, rng):
    rng = jax.random.fold_in(rng, state.step)
    grad_fn = state.dynamic_scale.value_and_grad(loss_fn, has_aux=True)
    scale, is_finite, (loss, sown), grads = grad_fn(state.params, state.apply_fn, tokens, rng)
    new = state.apply_gradients(grads=grads)
    new = new.replace(
        params=state_lib.select(is_finite, new.params, state.params),
        opt_state=state_lib.select(is_finite, new.opt_state, state.opt_state),
        dynamic_scale=scale,
    )
    norms = sown["decoder"]["layers"]["norm"][0]
    return new, {"loss": loss, "scale": scale.scale, "norm": norms.mean()}


class Trainer:
    def __init__(self, config: Config, workdir):
        self.config, self.model = config, LanguageModel(config)
        self.mesh = sharding.make_mesh(config)
        self.manager = checkpoints.manager(workdir / "checkpoints")

    def setup(self):
        tokens = jnp.ones((self.config.batch, self.config.max_len - 1), jnp.int32)
        create = functools.partial(state_lib.create, self.model, make_optimizer(self.config), tokens=tokens)
        rng = jax.random.key(0)
        abstract = jax.eval_shape(create, rng)
        shardings = sharding.state_sharding(abstract, self.mesh, self.config.rules)
        init = jax.jit(lambda rng: nn.unbox(create(rng)), out_shardings=shardings)
        step = jax.jit(
            train_step,
            in_shardings=(shardings, sharding.batch_sharding(self.mesh, self.config.rules), None),
            out_shardings=(shardings, None),
        )
        return init(rng), step

    def run(self):
        losses, scales = [], []
        with jax.set_mesh(self.mesh), nn.logical_axis_rules(self.config.rules):
            state, step = self.setup()
            stream = data.batches(self.config)
            for i in range(self.config.steps):
                if i == self.config.steps // 2:
                    checkpoints.save(self.manager, state)
                    state = checkpoints.restore(self.manager, state)
                state, metrics = step(state, next(stream), jax.random.key(1))
                losses.append(float(metrics["loss"]).hex())
                scales.append(float(metrics["scale"]))
        kernel = state.params["decoder"]["layers"]["mlp"]["wo"]["kernel"]
        return {
            "losses": losses,
            "scales": scales,
            "params": digest(state.params),
            "spec": str(kernel.sharding.spec),
        }
