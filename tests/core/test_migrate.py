"""The command that moves a program from flax to Linen."""

import os
import stat
import subprocess
import sys

import pytest

from linen_core.migrate import main

OLD = "import flax.linen as nn\r\nx = nn.Dense  # \u00e9\r\n"
NEW = OLD.replace("flax.linen", "linen_core")
NNX = (
    "Linen has no counterpart of flax.nnx. Linen has the API of flax.linen. "
    "Keep flax for flax.nnx, or write the modules with linen_core."
)


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"p/a.py": OLD, "p/requirements.txt": "flax\n", "p/notes.md": "import flax"})
    return tmp_path / "p"


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_prints_a_diff_and_changes_nothing(project, capfd):
    before = content(project)
    assert main(["p"]) == 1
    assert content(project) == before
    out, err = capfd.readouterr()
    assert out == (
        "--- a/p/a.py\n+++ b/p/a.py\n@@ -1,2 +1,2 @@\n"
        "-import flax.linen as nn\r\n+import linen_core as nn\r\n x = nn.Dense  # \u00e9\r\n"
        "--- a/p/requirements.txt\n+++ b/p/requirements.txt\n@@ -1 +1 @@\n-flax\n+linen-core\n"
    )
    assert err == "Would change 2 of 2 files; 0 places left.\n"


def test_patch_applies_the_diff(project):
    out = subprocess.run(
        [sys.executable, "-m", "linen_core.migrate", "p"], capture_output=True, check=False
    )
    assert out.returncode == 1
    subprocess.run(["git", "apply", "-"], input=out.stdout, check=True)
    assert (project / "a.py").read_bytes() == NEW.encode()


def test_write_changes_files_once(project, capfd):
    os.chmod(project / "a.py", 0o751)
    assert main(["p", "--write"]) == 0
    after = content(project)
    assert after == {
        "a.py": NEW.encode(),
        "requirements.txt": b"linen-core\n",
        "notes.md": b"import flax",
    }
    assert stat.S_IMODE((project / "a.py").stat().st_mode) == 0o751
    assert capfd.readouterr() == ("", "Changed 2 of 2 files; 0 places left.\n")
    assert main(["p", "--write"]) == 0
    assert content(project) == after
    assert capfd.readouterr() == ("", "Changed 0 of 2 files; 0 places left.\n")


def test_names_without_a_counterpart_are_listed_and_flax_stays(project, capfd):
    write(project, {"b.py": "x = 1\nfrom flax import nnx\n"})
    assert main(["p"]) == 2
    assert main(["p", "--write"]) == 2
    err = capfd.readouterr().err.splitlines()
    assert err[-2:] == [f"p/b.py:2: {NNX}", "Changed 2 of 3 files; 1 places left."]
    assert (project / "requirements.txt").read_bytes() == b"linen-core\nflax\n"
    after = content(project)
    assert main(["p", "--write"]) == 2
    assert content(project) == after


def test_file_that_does_not_parse_is_left(project, capfd):
    write(project, {"b.py": "import flax.linen\ndef ("})
    assert main(["p", "--write"]) == 3
    assert (project / "b.py").read_bytes() == b"import flax.linen\ndef ("
    assert (project / "a.py").read_bytes() == NEW.encode()
    # The file may use flax.
    assert (project / "requirements.txt").read_bytes() == b"linen-core\nflax\n"
    assert capfd.readouterr().err.splitlines()[0] == (
        "p/b.py: Does not parse as Python: line 2: invalid syntax. Correct it, then run this again."
    )


def test_file_that_cannot_be_written_is_left(project, capfd, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    before = content(project)
    monkeypatch.setattr("os.replace", refuse)
    assert main(["p/a.py", "--write"]) == 3
    assert content(project) == before
    assert capfd.readouterr().err == (
        "p/a.py: Cannot be written: Permission denied. It is as before.\n"
        "Changed 0 of 1 files; 0 places left.\n"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("p/none.py", "Cannot be read: No such file or directory."),
        (
            "p/notes.md",
            "Is not Python, a notebook or a requirement file. Name a folder or such a file.",
        ),
        ("p/pipe.py", "Is not a regular file."),
    ],
)
def test_paths_that_cannot_be_read(project, capfd, path, message):
    os.mkfifo(project / "pipe.py")
    assert main([path]) == 3
    assert capfd.readouterr().err.splitlines()[0] == f"{path}: {message}"


def test_links_are_never_followed_out_of_the_tree(project, tmp_path, capfd):
    write(tmp_path, {"out/b.py": OLD})
    (project / "inside.py").symlink_to("a.py")
    (project / "outside.py").symlink_to(tmp_path / "out" / "b.py")
    (project / "folder").symlink_to(tmp_path / "out")
    assert main(["p", "--write"]) == 0
    assert (tmp_path / "out" / "b.py").read_bytes() == OLD.encode()
    assert (project / "inside.py").is_symlink()
    assert (project / "inside.py").read_bytes() == NEW.encode()
    assert capfd.readouterr().err == (
        "p/outside.py: Is a symbolic link, and is left. Name its target.\n"
        "Changed 2 of 4 files; 0 places left.\n"
    )


def test_link_that_is_named_is_an_error(project, tmp_path, capfd):
    (tmp_path / "link.py").symlink_to("p/a.py")
    assert main(["link.py", "--write"]) == 3
    assert (project / "a.py").read_bytes() == OLD.encode()
    message = "link.py: Is a symbolic link, and is left. Name its target."
    assert capfd.readouterr().err.splitlines()[0] == message


def test_environments_and_hidden_folders_are_left_out(project):
    write(
        project,
        {".git/a.py": OLD, "venv/pyvenv.cfg": "", "venv/a.py": OLD, "__pycache__/a.py": OLD},
    )
    before = content(project)
    main(["p", "--write"])
    changed = {name for name, data in content(project).items() if data != before[name]}
    assert changed == {"a.py", "requirements.txt"}


def test_help_documents_exit_codes(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines() if line[:3].strip().isdigit()] == list(
        "0123"
    )


def test_missing_sister_package_is_an_error(project, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "linen_store", None)
    write(project, {"a.py": "from flax.core import freeze"})
    assert main(["p"]) == 3
    assert capfd.readouterr().err.endswith(". Run: pip install linen-store linen-summary\n")


MODEL = """import flax
from flax import linen as nn
from flax.core import FrozenDict


@flax.struct.dataclass
class Config:
    width: int = 8


class MLP(nn.Module):
    config: Config

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.relu(nn.Dense(self.config.width, kernel_init=flax.linen.initializers.lecun_normal())(x))
        x = nn.Dropout(0.1, deterministic=not train)(x)
        return nn.Dense(1)(x)


def count(variables: FrozenDict) -> int:
    return len(flax.traverse_util.flatten_dict(flax.core.unfreeze(variables)))
"""

TRAIN = """import hashlib

import jax
import jax.numpy as jnp
import optax
import flax.serialization
from flax.training import train_state

from model import MLP, Config, count


def main():
    model = MLP(Config())
    x = jnp.linspace(-1, 1, 32).reshape(8, 4)
    variables = model.init(jax.random.key(0), x, train=False)
    state = train_state.TrainState.create(
        apply_fn=model.apply, params=variables["params"], tx=optax.adam(1e-2)
    )

    @jax.jit
    def step(state, key):
        def loss(params):
            y = state.apply_fn({"params": params}, x, train=True, rngs={"dropout": key})
            return ((y - x.sum(-1, keepdims=True)) ** 2).mean()

        return state.apply_gradients(grads=jax.grad(loss)(state.params))

    for key in jax.random.split(jax.random.key(1), 5):
        state = step(state, key)
    data = flax.serialization.to_bytes(state)
    print(count(variables), int(state.step), hashlib.sha256(data).hexdigest())


main()
"""


def test_moved_program_computes_the_same_bits(tmp_path, monkeypatch):
    pytest.importorskip("flax", reason="the program runs with flax before it is moved")
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        {"model.py": MODEL, "train.py": TRAIN, "requirements.txt": "flax>=0.8\noptax\n"},
    )

    def run(*command):
        environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
        return subprocess.run(
            [sys.executable, *command], check=True, capture_output=True, text=True, env=environment
        ).stdout

    with_flax = run("train.py")
    run("-m", "linen_core.migrate", "--write", ".")
    # The moved program runs where flax cannot be imported.
    write(tmp_path, {"flax.py": "raise ImportError"})
    assert run("train.py") == with_flax
    assert with_flax.startswith("4 5 ")
    assert (tmp_path / "requirements.txt").read_text() == "linen-core\nlinen-store\noptax\n"
