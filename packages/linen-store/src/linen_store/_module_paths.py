"""Earlier paths of public modules, which programs and pickles may name.

`linen_store.frozen_dict` is the module `linen_store.frozen.frozen_dict`: there is one module object under both names.
"""

from __future__ import annotations

import sys

from linen_store.formats import msgpack, npy, npz, opening, safetensors
from linen_store.formats.orbax import checkpoint_store
from linen_store.frozen import frozen_dict, frozen_store
from linen_store.reading import file_store
from linen_store.restoring import placement
from linen_store.saving import converting

__all__: list[str] = []

_PACKAGE = __name__.rpartition(".")[0]

for _name, _module in {
    "checkpoint_store": checkpoint_store,
    "converting": converting,
    "frozen_dict": frozen_dict,
    "frozen_store": frozen_store,
    "lazy_store": file_store,
    "msgpack_store": msgpack,
    "npy_store": npy,
    "npz_store": npz,
    "opening": opening,
    "placement": placement,
    "safetensors_store": safetensors,
}.items():
    sys.modules[f"{_PACKAGE}.{_name}"] = _module
    setattr(sys.modules[_PACKAGE], _name, _module)
