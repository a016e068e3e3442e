"""The models of examples/models with weights of another library: what needs no torch."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

import vit
from contracts import workspace
from linen_store import convert, open_store, restore
from linen_store.views import Map
from linen_store.views.maps import MapLike, load_map

MODELS = workspace.ROOT / "examples" / "models"
SCAN = MODELS / "maps" / "scan.toml"
NAMES = ("bert", "gpt2", "llama", "t5", "vit")
TOLERANCE = 1e-5


def map_of(name: str, config: dict, *, flax: bool = False) -> Map:
    """Return the map of a model from the names of transformers, those of its torch or of its flax models."""
    if name == "vit":
        return vit.flax_map(config) if flax else vit.transformers_map(config)
    return load_map(MODELS / "maps" / f"{name}{'_flax' if flax else ''}.toml")


def model_of(name: str, config: dict, *, scanned: bool = False):
    return importlib.import_module(name).from_config(config, scanned=scanned)


def loaded(
    name: str,
    config: dict,
    path: Path,
    inputs: dict,
    *,
    scanned: bool = False,
    map: MapLike = None,
    root: Any = None,
):
    """Return the model and its variables, restored from a file, by default one of transformers."""
    model = model_of(name, config, scanned=scanned)
    given = map or map_of(name, config)
    with open_store(path, root, map=given) as store:
        variables, report = restore(model, store, **inputs, map=SCAN if scanned else None)
    assert (report.initialized, report.unexpected) == ((), ())
    return model, variables


def written_back(name: str, config: dict, variables, path: Path, *, scanned: bool) -> None:
    """Write variables as a file of transformers."""
    unrolled = load_map(SCAN).inverse().apply(variables) if scanned else variables
    convert(unrolled, path, map=map_of(name, config).inverse())


def difference(model, variables, inputs: dict, outputs: dict) -> float:
    """Return the greatest difference of an output from the expected one."""
    found = model.apply(variables, **inputs)
    found = found if isinstance(found, tuple) else (found,)
    assert [one.shape for one in found] == [one.shape for one in outputs.values()]
    return max(
        float(np.abs(np.asarray(one) - other).max())
        for one, other in zip(found, outputs.values(), strict=True)
    )


def recorded(folder: Path) -> tuple[dict, dict, dict]:
    """Return the configuration, the inputs and the outputs of a recorded model."""
    config = json.loads((folder / "config.json").read_text())
    with np.load(folder / "example.npz") as example:
        inputs = {name[3:]: example[name] for name in example if name.startswith("in/")}
        outputs = {name[4:]: example[name] for name in example if name.startswith("out/")}
    return config, inputs, outputs


def arrays_of(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file by name."""
    with open_store(path, layout="model") as store:
        return {
            ".".join((name, *leaf)): np.asarray(store.get(name, leaf))
            for name in store.collections()
            for leaf in store.leaves(name)
        }
