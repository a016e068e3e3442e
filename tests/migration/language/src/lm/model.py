"""The decoder: a block that is rematerialised and scanned over its depth."""
import jax
import jax.numpy as jnp
from flax import linen as nn

from .attention import SelfAttention, causal_mask
from .config import Config
from .layers import MlpBlock, RMSNorm

POLICIES = {
    "full": None,
    "minimal": jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims,
}


class Block(nn.Module):
    config: Config

    @nn.compact
    def __call__(self, x, mask, deterministic):
        config = self.config
        x = nn.with_logical_constraint(x, ("batch", "length", "embed"))
        y = RMSNorm(dtype=config.dtype, name="pre_attention")(x)
        x = x + SelfAttention(config, name="attention")(y, mask, deterministic)
        y = RMSNorm(dtype=config.dtype, name="pre_mlp")(x)
        x = x + MlpBlock(config, name="mlp")(y, deterministic)
        self.sow("intermediates", "norm", jnp.abs(x).mean())
        return x, None


class Decoder(nn.Module):
    config: Config

    @nn.compact
    def __call__(self, x, mask, deterministic):
        config, block = self.config, Block
        if config.remat != "none":
            block = nn.remat(
                block, policy=POLICIES[config.remat], prevent_cse=not config.scan, static_argnums=(3,)
            )
        if not config.scan:
            for i in range(config.layers):
                x, _ = block(config, name=f"layers_{i}")(x, mask, deterministic)
            return x
        stack = nn.scan(
            block,
            variable_axes={"params": 0, "intermediates": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(nn.broadcast, nn.broadcast),
            length=config.layers,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        x, _ = stack(config, name="layers")(x, mask, deterministic)
        return x


class LanguageModel(nn.Module):
    config: Config

    def setup(self):
        config = self.config
        init = nn.initializers.normal(1.0)
        self.embed = nn.Embed(
            config.vocab,
            config.emb,
            dtype=config.dtype,
            embedding_init=nn.with_logical_partitioning(init, ("vocab", "embed")),
        )
        self.pos_embed = self.param(
            "pos_embed",
            nn.with_logical_partitioning(nn.initializers.normal(0.02), ("length", "embed")),
            (config.max_len, config.emb),
        )
        self.decoder = Decoder(config)
        self.final_norm = RMSNorm(dtype=config.dtype)

    def __call__(self, tokens, deterministic=True):
        x = self.embed(tokens) + self.pos_embed[: tokens.shape[1]].astype(self.config.dtype)
        x = self.decoder(x, causal_mask(tokens), deterministic)
        logits = self.embed.attend(self.final_norm(x)) / self.config.emb**0.5
        return nn.with_logical_constraint(logits.astype(jnp.float32), ("batch", "length", "vocab"))
