import numpy as np


def batches(config, seed=0):
    """Yield counting sequences, padded with zeros."""
    rng = np.random.default_rng(seed)
    while True:
        starts = rng.integers(1, config.vocab, size=(config.batch, 1))
        tokens = (starts + np.arange(config.max_len)) % (config.vocab - 1) + 1
        lengths = rng.integers(config.max_len // 2, config.max_len, size=(config.batch, 1))
        yield np.where(np.arange(config.max_len) < lengths, tokens, 0).astype(np.int32)
