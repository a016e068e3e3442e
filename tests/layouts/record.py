"""Write the small files of tests/store/layouts, with transformers: `hatch run layouts:record`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from layouts import real

TARGET = Path(__file__).resolve().parents[1] / "store" / "layouts"
SEED = 5
PARTS = {"gpt2": 8000}
"""The size of the parts of the flax file, in bytes."""


def record(name: str) -> None:
    """Write the configuration, the weights, the inputs and the outputs of one model."""
    case = real.draw(name, SEED)
    folder = TARGET / name
    case.model.save_pretrained(folder)
    if real.has_flax(case.model.config):
        real.save_flax(name, case, folder, max_shard_size=PARTS.get(name, "1GB"))
    (folder / "generation_config.json").unlink(missing_ok=True)
    inputs = {f"in/{key}": value for key, value in case.inputs.items()}
    outputs = {f"out/{key}": value for key, value in case.outputs().items()}
    np.savez(folder / "example.npz", **inputs, **outputs)


if __name__ == "__main__":
    for name in sys.argv[1:] or real.CASES:
        record(name)
