"""A run of a few seconds."""
from configs import default

OVERRIDES = dict(
    image_size=8,
    widths=(4, 8),
    blocks=(1, 1),
    batch_size=8,
    num_train=32,
    num_eval=16,
    num_epochs=2,
    warmup_epochs=1,
    learning_rate=0.05,
)


def get_config():
    return default.get_config().replace(**OVERRIDES)
