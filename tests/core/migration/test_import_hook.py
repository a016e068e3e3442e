"""Programs written for flax run with Linen, in a process of their own: here flax itself is imported."""

import importlib.metadata
import os
import subprocess
import sys
import textwrap

import pytest

from linen_core import migration

PROGRAM = """
    import sys

    import flax
    import flax.linen as fl
    import jax
    import jax.numpy as jnp
    from flax import linen as nn, struct
    from flax.core import FrozenDict, freeze
    from flax.training import train_state

    import linen_core, linen_store


    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return fl.Dense(3)(x)


    variables = Model().init(jax.random.key(0), jnp.ones((1, 2)))
    assert issubclass(Model, linen_core.Module)
    assert type(freeze(variables)) is FrozenDict is linen_store.FrozenDict
    assert issubclass(train_state.TrainState, linen_core.train_state.TrainState)
    assert flax.struct.dataclass is linen_core.struct.dataclass
    assert not any("site-packages/flax/" in (getattr(m, "__file__", "") or "") for m in sys.modules.values())
    print(sys.argv[1:], __name__, variables["params"]["Dense_0"]["kernel"].shape)
"""


@pytest.fixture
def run(tmp_path):
    def run_files(
        command, *, module=("-m", "linen_core.flax_compat"), pythonpath="", environment=(), **files
    ):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path = path.with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return subprocess.run(
            [sys.executable, *module, *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": pythonpath, **dict(environment)},
            check=False,
        )

    return run_files


def test_a_script(run):
    done = run(["run", "train.py", "--epochs", "3", "-m"], train=PROGRAM)
    assert (done.returncode, done.stdout) == (0, "['--epochs', '3', '-m'] __main__ (2, 3)\n"), (
        done.stderr
    )


def test_a_module_and_what_it_imports(run):
    done = run(
        ["run", "-m", "package.train", "x"],
        package__train="from package.model import *",
        package__model=PROGRAM.replace("__name__", "'in a library'"),
    )
    assert (done.returncode, done.stdout) == (0, "['x'] in a library (2, 3)\n"), done.stderr


def test_pytest(run):
    test = "import flax.linen, linen_core\ndef test(): assert flax.linen.Dense is linen_core.Dense"
    done = run(["run", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"], test_it=test)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_report_names_uses_and_places(run):
    done = run(
        ["report", "train.py"],
        train="from flax import linen as nn\nimport layer\nprint(nn.relu(1.0))\n",
        layer="import flax.linen\nflax.linen.Dense\nflax.linen.Dense\n",
    )
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stderr.splitlines()]
    assert any(
        line.startswith("flax.linen.Dense linen_core.Dense") and line.endswith("layer.py:2")
        for line in lines
    )
    assert any(
        line.startswith("flax.linen.relu linen_core.relu") and line.endswith("train.py:3")
        for line in lines
    )


@pytest.mark.parametrize(
    ("statement", "message"),
    {
        "from flax.linen import Densee": (
            "ImportError: {file}:2: Linen has no counterpart of flax.linen.Densee. Check the spelling: Linen answers "
            "the public names of flax 0.12.8."
        ),
        "import flax.nnx": (
            "ImportError: {file}:2: Linen has no counterpart of flax.nnx. Linen has the API of flax.linen. Keep flax "
            "for flax.nnx, or write the modules with linen_core."
        ),
        "from flax import optim": (
            "ImportError: {file}:2: Linen has no counterpart of flax.optim. flax removed it in 2022. Use optax."
        ),
        "import flax; flax.optim.Adam": (
            "AttributeError: {file}:2: Linen has no counterpart of flax.optim. flax removed it in 2022. Use optax."
        ),
    }.items(),
)
def test_a_name_without_a_counterpart(run, tmp_path, statement, message):
    done = run(["run", "train.py"], train=f"import jax\n{statement}\n")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    kind, _, text = message.partition(": ")
    assert last.partition(": ")[0].endswith(("FlaxNameError", kind))
    assert text.format(file="train.py") in last.replace(f"{tmp_path}/", "")


def test_advice_works(run):
    train = "from flax.linen import Dense\nimport optax\nprint(Dense(3), optax.adam(1).init)"
    assert run(["run", "train.py"], train=train).returncode == 0


def test_libraries_find_a_version_and_can_probe(run):
    train = """
        import importlib.metadata, importlib.util
        import flax, flax.linen
        print(importlib.metadata.version("flax"), flax.__version__, importlib.util.find_spec("flax") is not None)
        print(hasattr(flax.linen, "nothing"), getattr(flax, "optim", None))
        try:
            from flax import nnx
        except ImportError as error:
            print(error.name)
        from flax.linen import *
        print(Dense, "store" in globals(), "linear" in globals(), "typing" in globals(), tabulate.__name__)
    """
    done = run(["run", "train.py"], train=train)
    assert done.stdout.splitlines() == [
        "0.12.8 0.12.8 True",
        "False None",
        "flax.nnx",
        "<class 'linen_core.layers.dense.Dense'> False True False tabulate",
    ], done.stderr


CHILDREN = """
    import multiprocessing
    import subprocess
    import sys

    CODE = "import flax.linen as nn; print(nn.Dense.__module__, nn.Dense.__name__)"


    def name_of_layer(_):
        import flax.linen as nn
        return nn.Dense.__module__


    if __name__ == "__main__":
        with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
            print(pool.map(name_of_layer, [0]))
        sys.stdout.flush()
        subprocess.run([sys.executable, "-c", CODE], check=True)
        # A process that starts another one.
        subprocess.run([sys.executable, "-c", f"import os, sys; os.execv(sys.executable, ['python', '-c', {CODE!r}])"])
"""


@pytest.mark.parametrize(
    ("command", "method"), [(["report"], "forkserver"), (["run", "-m"], "spawn")]
)
def test_python_processes_that_the_program_starts(run, command, method):
    target = "train" if "-m" in command else "train.py"
    done = run([*command, target, method], train=CHILDREN)
    layer = "linen_core.layers.dense"
    assert done.stdout.splitlines() == [f"['{layer}']", *[f"{layer} Dense"] * 2], done.stderr
    assert done.stderr == ""


def test_environment_variables_of_the_program_are_in_time_for_jax(run):
    train = """
        import os, sys
        assert "jax" not in sys.modules
        os.environ["JAX_ENABLE_X64"] = "1"
        import flax.linen as nn, jax.numpy as jnp
        print(jnp.ones(1).dtype)
    """
    assert run(["run", "train.py"], train=train).stdout == "float64\n"


def test_other_sitecustomize_is_imported_too(run, tmp_path):
    train = "import sys, flax\nprint(sys.modules['sitecustomize'].value, any('site_folder' in p for p in sys.path))"
    done = run(
        ["run", "train.py"], train=train, sitecustomize="value = 7", pythonpath=str(tmp_path)
    )
    assert done.stdout == "7 False\n", done.stderr


def test_environment_without_linen_has_its_own_flax(run):
    pytest.importorskip("flax", reason="the environment has a flax")
    folder = os.path.join(os.path.dirname(migration.__file__), "site_folder")
    train = """
        import importlib.metadata, flax, sys
        print(flax.value, "linen_core" in sys.modules)
        print(importlib.metadata.version("flax"))
    """
    files = {"linen_core": "raise ImportError", "flax": "value = 7", "train": train}
    done = run(["train.py"], module=(), pythonpath=folder, **files)
    assert done.stdout == f"7 False\n{importlib.metadata.version('flax')}\n", done.stderr


def test_options_of_python(run):
    train = "import sys; print(sys.flags.dev_mode, sys.flags.quiet, sys.argv)"
    command = ["-X", "dev", "-q", "-m", "linen_core.flax_compat", "run", "train.py", "-m", "a"]
    assert run(command, train=train, module=()).stdout == "True 1 ['train.py', '-m', 'a']\n"
    done = run(["-E", "-m", "linen_core.flax_compat", "run", "train.py"], train=train, module=())
    assert (done.returncode, done.stderr) == (
        1,
        "Cannot run with the options -E, -I and -S of Python: leave them out.\n",
    )


def test_flags(run):
    train = """
        import flax, jax, jax.numpy as jnp
        from flax import linen as nn
        from flax.core import FrozenDict
        init = lambda: type(nn.Dense(2).init(jax.random.key(0), jnp.ones((1, 3)))).__name__
        print(flax.config.flax_return_frozendict, init())
        flax.config.update("flax_return_frozendict", False)
        print(init())
        with flax.config.temp_flip_flag("return_frozendict", True):
            print(init())
    """
    done = run(["run", "train.py"], environment={"FLAX_RETURN_FROZENDICT": "true"}, train=train)
    assert done.stdout.split() == ["True", "FrozenDict", "dict", "FrozenDict"], done.stderr


def test_private_names_that_libraries_use(run):
    train = """
        import flax
        from flax.linen.linear import _canonicalize_tuple
        from flax.linen.normalization import _compute_stats
        from flax.linen import partitioning
        print(_canonicalize_tuple(3), type(partitioning.get_axis_names({})).__name__)
        from flax.linen.linear import _nothing
    """
    done = run(["run", "train.py"], train=train)
    assert done.stdout == "(3,) FrozenDict\n", done.stderr
    assert (
        "Linen has no counterpart of flax.linen.linear._nothing. It is internal to flax. Use the public names."
        in done.stderr
    )


def test_exit_codes_and_missing_files(run):
    assert run(["run", "train.py"], train="import sys; sys.exit(7)").returncode == 7
    done = run(["run", "nothing.py"])
    assert (done.returncode, done.stderr) == (
        1,
        "Cannot run nothing.py: the file does not exist. Name a script, or a module after -m.\n",
    )


def test_flax_that_is_imported_already_is_refused(run):
    pytest.importorskip("flax", reason="flax itself is imported")
    train = """
        import linen_core.flax_compat as compat
        compat.uninstall()
        import flax
        try:
            compat.install()
        except ImportError as error:
            print(error)
    """
    done = run(["run", "train.py"], train=train)
    assert done.stdout == (
        "Cannot answer `import flax` with Linen: flax is imported already. Call `linen_core.flax_compat.install()` "
        "before anything imports flax; in a notebook, restart the kernel first.\n"
    ), done.stderr
