import jax.numpy as jnp
import numpy as np
import optax
from flax.core import freeze

from lm.config import Config
from lm.optim import decay_mask, labels, make_optimizer

PARAMS = {"pos_embed": jnp.ones(2), "mlp": {"kernel": jnp.ones((2, 2)), "scale": jnp.ones(2)}}


def test_mask():
    assert decay_mask(PARAMS) == {"pos_embed": False, "mlp": {"kernel": True, "scale": False}}


def test_labels_keep_the_type():
    frozen = labels(("pos_embed",))(freeze(PARAMS))
    assert frozen == freeze(labels(("pos_embed",))(PARAMS))
    assert frozen["mlp"]["kernel"] == "trained"


def test_frozen_parameters_stay():
    tx = make_optimizer(Config())
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    new = optax.apply_updates(PARAMS, updates)
    assert np.array_equal(new["pos_embed"], PARAMS["pos_embed"])
    assert not np.array_equal(new["mlp"]["kernel"], PARAMS["mlp"]["kernel"])
