"""The one rearrangement that the mixer needs."""


def flatten_space(x):
    return x.reshape(x.shape[0], -1, x.shape[-1])
