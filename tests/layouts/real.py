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
        activation_function=["gelu_new", "gelu", "relu"][rng.integers(3)],
    )
    model = transformers.GPT2LMHeadModel(config)
    inputs = {"tokens": _tokens(rng, config.vocab_size)}
    return Case(model, inputs, lambda model, tokens: {"logits": model(tokens).logits})


def llama(rng: np.random.Generator) -> Case:
    kv_heads = int(rng.integers(1, 3))
    heads = kv_heads * int(rng.integers(1, 3))
    llama3 = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }
    config = transformers.LlamaConfig(
        vocab_size=int(rng.integers(20, 40)),
        hidden_size=heads * 2 * int(rng.integers(1, 4)),
        intermediate_size=int(rng.integers(8, 20)),
        num_hidden_layers=int(rng.integers(1, 4)),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=[None, 6][rng.integers(2)],
        rms_norm_eps=[1e-6, 1e-4][rng.integers(2)],
        rope_theta=[10000.0, 500.0][rng.integers(2)],
        rope_scaling=[None, llama3][rng.integers(2)],
        attention_bias=bool(rng.integers(2)),
        mlp_bias=bool(rng.integers(2)),
        tie_word_embeddings=bool(rng.integers(2)),
    )
    model = transformers.LlamaForCausalLM(config)
    inputs = {"tokens": _tokens(rng, config.vocab_size)}
    return Case(model, inputs, lambda model, tokens: {"logits": model(tokens).logits})


CASES: dict[str, Callable[[np.random.Generator], Case]] = {"gpt2": gpt2, "llama": llama}


def draw(name: str, seed: int) -> Case:
    """Return a random model of a kind, always the same one for a seed."""
    case = CASES[name](np.random.default_rng(seed))
    randomized(case.model, seed)
    return case


def config_of(model: Any) -> dict:
    """Return the content of `config.json`."""
    return model.config.to_dict()
