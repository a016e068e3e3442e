"""Hyperparameters of a full run."""
import dataclasses
from typing import Tuple


@dataclasses.dataclass
class Config:
    seed: int = 0
    num_classes: int = 4
    image_size: int = 16
    model: str = "resnet"
    widths: Tuple[int, ...] = (32, 64, 128)
    blocks: Tuple[int, ...] = (2, 2, 2)
    dtype: str = "float32"

    batch_size: int = 64
    num_train: int = 2048
    num_eval: int = 256
    num_epochs: int = 20
    learning_rate: float = 0.1
    warmup_epochs: int = 2
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    patience: int = 3

    def replace(self, **changes):
        return dataclasses.replace(self, **changes)


def get_config():
    return Config()
