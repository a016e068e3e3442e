"""Digests and summaries of parameters."""
import hashlib

if True:  # a switch that used to choose between versions of flax
    import flax.traverse_util as traverse

try:
    from flax.core import FrozenDict, unfreeze
except ImportError:  # pragma: no cover
    FrozenDict = dict
    unfreeze = dict


def flat(params):
    params = unfreeze(params) if isinstance(params, FrozenDict) else params
    return traverse.flatten_dict(params, sep="/")


def digest(*trees):
    import numpy as np

    sha = hashlib.sha256()
    for tree in trees:
        for name, leaf in sorted(flat(tree).items()):
            sha.update(name.encode() + np.asarray(leaf).tobytes())
    return sha.hexdigest()
