"""An optimizer that decays kernels only and leaves frozen parameters as they are."""
import optax
from flax import traverse_util
from flax.core import frozen_dict

from .config import Config


def decay_mask(params):
    """True for everything but scales and positions."""
    flat = traverse_util.flatten_dict(params)
    return traverse_util.unflatten_dict(
        {path: path[-1] not in ("scale", "bias", "pos_embed") for path in flat}
    )


def labels(frozen):
    def assign(params):
        was_frozen = isinstance(params, frozen_dict.FrozenDict)
        params = frozen_dict.unfreeze(params) if was_frozen else params
        result = traverse_util.path_aware_map(
            lambda path, _: "frozen" if set(path) & set(frozen) else "trained", params
        )
        return frozen_dict.freeze(result) if was_frozen else result

    return assign


def make_optimizer(config: Config):
    adamw = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(config.learning_rate, weight_decay=config.weight_decay, mask=decay_mask),
    )
    return optax.multi_transform({"trained": adamw, "frozen": optax.set_to_zero()}, labels(config.frozen))
