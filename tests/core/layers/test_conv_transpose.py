"""ConvTranspose with the padding of PyTorch's, as the README says it."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn

KEY = jax.random.key(0)


def transposed_by_definition(x, weight, size, s, p, d):
    """PyTorch's definition: the gradient of conv2d by its input. Weight (inputs, features, k, k), features first."""

    def conv2d(image):
        return jax.lax.conv_general_dilated(
            image, weight, (s, s), [(p, p)] * 2, rhs_dilation=(d, d), dimension_numbers=("NCHW", "OIHW", "NCHW")
        )  # fmt: skip

    _, pull_back = jax.vjp(conv2d, jnp.zeros((x.shape[0], weight.shape[1], size, size)))
    return pull_back(x)[0]


@pytest.mark.parametrize(
    ("k", "s", "p", "o", "d"),
    [(3, 1, 0, 0, 1), (3, 2, 1, 1, 1), (4, 2, 1, 0, 1), (2, 2, 0, 0, 1), (3, 3, 0, 2, 1), (3, 2, 1, 1, 2), (5, 2, 2, 1, 1)],
)  # fmt: skip
def test_padding_of_pytorch(k, s, p, o, d):
    edge = d * (k - 1) - p
    layer = nn.ConvTranspose(
        4, (k, k), strides=(s, s), padding=[(edge, edge + o)] * 2, kernel_dilation=(d, d), transpose_kernel=True
    )  # fmt: skip
    x = jax.random.normal(KEY, (2, 3, 5, 5))
    weight = jax.random.normal(jax.random.key(1), (3, 4, k, k))
    variables = {"params": {"kernel": weight.transpose(2, 3, 1, 0), "bias": jnp.zeros(4)}}
    y = layer.apply(variables, x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    size = (5 - 1) * s - 2 * p + d * (k - 1) + o + 1  # of torch.nn.ConvTranspose2d
    assert y.shape == (2, 4, size, size)
    assert jnp.allclose(y, transposed_by_definition(x, weight, size, s, p, d), atol=1e-4)
