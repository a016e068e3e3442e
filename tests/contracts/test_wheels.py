"""The wheels in clean environments: linen-core by itself, as a production image has it, and all three."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from contracts import workspace

UV = str(Path(sys.executable).parent / "uv")
STRANGERS = ("rich", "orbax", "tensorstore", "msgpack", "yaml", "typing_extensions", "flax")
NEEDED = {"jax", "jaxlib", "ml-dtypes", "numpy", "opt-einsum", "scipy"}  # jax, and what jax needs

LOADED = """
import json, sys
import linen_core
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

MODEL = """
import json, sys
import jax, jax.numpy as jnp
import linen_core as nn

class Model(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(2)(nn.max_pool(x, (2, 2)).reshape(len(x), -1))

model, x = Model(), jnp.ones((2, 4, 4, 1))
variables = model.init(jax.random.key(0), x, train=False)
y, _ = jax.jit(lambda v: model.apply(
    v, x, train=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(1)}))(variables)
doors = {}
for name, door in {
    "nn.tabulate": lambda: nn.tabulate,
    "nn.FrozenDict": lambda: nn.FrozenDict,
    "Module.tabulate": lambda: model.tabulate(jax.random.key(0), x, train=False),
}.items():
    try:
        door()
    except ImportError as error:
        doors[name] = str(error)
loaded = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"shape": y.shape, "finite": bool(jnp.isfinite(y).all()), "doors": doors, "loaded": loaded}))
"""

ALL_THREE = """
import json
import linen_core as nn
print(json.dumps({
    "frozen": nn.FrozenDict.__module__.partition(".")[0],
    "tabulate": nn.tabulate.__module__.partition(".")[0],
    "stores": nn.registered_stores(),
    "checkpoint": nn.store_class("checkpoint").__name__,
}))
"""

SAVE = """
import sys
import jax, jax.numpy as jnp
import linen_core as nn, linen_store
linen_store.save(sys.argv[1], nn.Dense(2).init(jax.random.key(0), jnp.ones((1, 3))))
"""


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build_wheel(package: str, target: Path) -> Path:
    source = workspace.ROOT / "packages" / package
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target), cwd=source)
    [wheel] = target.glob(f"{package.replace('-', '_')}-*.whl")
    return wheel


def clean_environment(home: Path, *packages: str) -> str:
    """Install the wheels of packages in an environment with nothing else; give its interpreter."""
    wheels = [str(build_wheel(package, home)) for package in packages]
    run(UV, "venv", "--quiet", "--python", sys.executable, str(home / "env"))
    python = str(home / "env" / "bin" / "python")
    install = [UV, "pip", "install", "--quiet", "--python", python, *wheels]
    if subprocess.run([*install, "--offline"], capture_output=True, check=False).returncode:
        run(*install)  # something that they need is not in the cache
    return python


def installed(python: str) -> set[str]:
    listing = run(UV, "pip", "list", "--python", python, "--format", "json")
    return {entry["name"] for entry in json.loads(listing)}


@pytest.fixture(scope="module")
def core_python(tmp_path_factory):
    return clean_environment(tmp_path_factory.mktemp("core-alone"), "linen-core")


def test_core_wheel_brings_jax_and_numpy_alone(core_python):
    assert installed(core_python) == NEEDED | {"linen-core"}


def test_core_wheel_imports_alone(core_python):
    loaded = json.loads(run(core_python, "-I", "-c", LOADED))
    assert "linen_core" in loaded
    assert not set(loaded) & {*STRANGERS, "linen_store", "linen_summary"}


def test_core_wheel_runs_a_model_and_names_what_is_missing(core_python):
    found = json.loads(run(core_python, "-I", "-W", "error", "-c", MODEL))
    assert (found["shape"], found["finite"]) == ([2, 2], True)
    assert not set(found["loaded"]) & {*STRANGERS, "linen_store", "linen_summary"}
    table = "`tabulate` is part of linen-summary, which is not installed. Run: pip install linen-summary"
    frozen = (
        "`FrozenDict` is part of linen-store, which is not installed. Run: pip install linen-store"
    )
    assert found["doors"] == {
        "nn.tabulate": table,
        "Module.tabulate": table,
        "nn.FrozenDict": frozen,
    }


def test_core_wheel_is_typed_without_the_sister_packages(core_python, tmp_path):
    program = tmp_path / "program.py"
    names = ("Dense", "FrozenDict", "tabulate", "summary")
    lines = [f"reveal_type(nn.{name})" for name in names]
    program.write_text("\n".join(["import linen_core as nn", *lines]))
    command = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary")
    cache = ("--python-executable", core_python, f"--cache-dir={tmp_path / 'cache'}")
    found = re.findall(r'note: Revealed type is "(.*?)[("]', run(*command, *cache, str(program)))
    assert found == ["def ", "Any", "Any", "Any"]


def test_three_wheels_work_together(tmp_path):
    python = clean_environment(tmp_path, *workspace.PACKAGES)
    found = json.loads(run(python, "-I", "-W", "error", "-c", ALL_THREE))
    assert set(workspace.PACKAGES) <= installed(python)
    assert "flax" not in installed(python)
    assert found == {
        "frozen": "linen_store",
        "tabulate": "linen_summary",
        "stores": sorted(
            {
                "checkpoint",
                "folder",
                "foreign",
                "frozen",
                "memory",
                "msgpack",
                "npy",
                "npz",
                *("gs", "http", "https", "s3"),
                "safetensors",
            }
        ),
        "checkpoint": "CheckpointStore",
    }
    command = str(Path(python).parent / "linen-summary")
    dense = ("linen_core:Dense", "--arg", "features=2", "--input", "float32[1,3]")
    assert "kernel: float32[3,2]" in run(command, *dense, "--format", "csv")
    run(python, "-I", "-c", SAVE, str(tmp_path / "saved"))
    assert "kernel: float32[3,2]" in run(command, str(tmp_path / "saved"), "--format", "csv")


def test_import_leaves_what_is_installed_alone():
    """The same where rich, orbax and all of them are at hand."""
    before = json.loads(run(sys.executable, "-c", LOADED.replace("linen_core", "jax, numpy")))
    added = set(json.loads(run(sys.executable, "-c", LOADED))) - set(before)
    assert "linen_core" in added
    assert not added & {*STRANGERS, "pytest", "linen_store", "linen_summary"}


@pytest.mark.parametrize("package", workspace.PACKAGES)
def test_wheel_holds_the_sources_and_nothing_else(package, tmp_path):
    with zipfile.ZipFile(build_wheel(package, tmp_path)) as wheel:
        names = set(wheel.namelist())
    root = package.replace("-", "_")
    folder = workspace.ROOT / "packages" / package / "src"
    expected = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    expected = {name for name in expected if "__pycache__" not in name}
    assert {name for name in names if name.startswith(f"{root}/")} == expected
    assert {name.split("/")[0].split("-")[0] for name in names} == {root}
