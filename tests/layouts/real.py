"""Models of transformers with small random configurations and weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, what it is given under the names of the Linen model, and how it is run."""

    model: torch.nn.Module
    inputs: dict[str, np.ndarray]
    run: Callable[..., dict[str, torch.Tensor]]

    def outputs(self, model: torch.nn.Module | None = None) -> dict[str, np.ndarray]:
        """Run the model, or another one with the same inputs."""
        with torch.no_grad():
            found = self.run(
                model or self.model,
                **{name: torch.tensor(value) for name, value in self.inputs.items()},
            )
        return {name: value.numpy() for name, value in found.items()}


def randomized(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Give every parameter random values, norms and biases too, and switch dropout off."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = 0.2 * noise + (1.0 if parameter.ndim == 1 else 0.0)
    return model.eval()


def _tokens(rng: np.random.Generator, vocabulary: int) -> np.ndarray:
    return rng.integers(0, vocabulary, (2, int(rng.integers(4, 9)))).astype(np.int32)


def gpt2(rng: np.random.Generator) -> Case:
    heads = int(rng.integers(1, 4))
    config = transformers.GPT2Config(
        vocab_size=int(rng.integers(20, 40)),
        n_positions=int(rng.integers(9, 16)),
        n_embd=heads * int(rng.integers(2, 6)),
        n_layer=int(rng.integers(1, 4)),
        n_head=heads,
        n_inner=[None, 12][rng.integers(2)],
        layer_norm_epsilon=[1e-5, 1e-3][rng.integers(2)],
    )
    model = transformers.GPT2LMHeadModel(config)
    inputs = {"tokens": _tokens(rng, config.vocab_size)}
    return Case(model, inputs, lambda model, tokens: {"logits": model(tokens).logits})


CASES: dict[str, Callable[[np.random.Generator], Case]] = {"gpt2": gpt2}


def draw(name: str, seed: int) -> Case:
    """Return a random model of a kind, always the same one for a seed."""
    case = CASES[name](np.random.default_rng(seed))
    randomized(case.model, seed)
    return case


def config_of(model: Any) -> dict:
    """Return the content of `config.json`."""
    return model.config.to_dict()
