"""Images of noisy bars, made by numpy."""
import numpy as np
from flax import jax_utils
from flax.training import common_utils


def make_split(config, num, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(config.num_classes, size=num)
    images = rng.normal(size=(num, config.image_size, config.image_size, 3)).astype(np.float32)
    for image, label in zip(images, labels):
        image[label :: config.num_classes] += 2.0
    return {"image": images, "label": labels.astype(np.int32)}


def augment(batch, rng):
    flip = rng.random(len(batch["label"])) < 0.5
    images = np.where(flip[:, None, None, None], batch["image"][:, :, ::-1], batch["image"])
    return {**batch, "image": images}


def train_batches(data, batch_size, rng):
    """Yield the batches of an epoch, shuffled and with one slice for each device."""
    order = rng.permutation(len(data["label"]))
    for start in range(0, len(order) - batch_size + 1, batch_size):
        index = order[start : start + batch_size]
        batch = augment({key: value[index] for key, value in data.items()}, rng)
        yield common_utils.shard(batch)


def train_iterator(data, batch_size, rng):
    return jax_utils.prefetch_to_device(train_batches(data, batch_size, rng), 2)
