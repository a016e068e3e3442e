"""Options of the command linen-store, its completion, its progress, and the options in its errors."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from orbax.checkpoint import v1

import linen_store
from linen_store import cli
from linen_store.commands.option_names import with_option_names
from store.test_errors import CASES

NESTED = {"model": {"params": {"w": jnp.ones(2), "b": jnp.ones(3)}, "stats": {"m": jnp.ones(1)}}}


def names(found):
    return [leaf["name"] for leaf in found["leaves"]]


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"linen-store {importlib.metadata.version('linen-store')}\n"


def test_root(tmp_path, run):
    linen_store.save(tmp_path / "c", NESTED)
    path = tmp_path / "c"
    assert names(run("ls", path, "--json", "--root", "model")[1]) == [
        "params/b",
        "params/w",
        "stats/m",
    ]
    found = run("ls", path, "--json", "--root", "params=model/params", "--root", "s=model/stats")
    assert names(found[1]) == ["params/b", "params/w", "s/m"]
    assert names(run("ls", path, "--json", "--root", "all=")[1])[0] == "all/model/params/b"
    code, _, err = run("ls", path, "--root", "model", "--root", "s=model/stats")
    assert (code, err) == (
        2,
        "linen-store: expected one --root, or a --root COLLECTION=NAMES for each collection\n",
    )


def test_the_advice_about_a_root_works(tmp_path, run):
    linen_store.save(tmp_path / "c", {"w": jnp.ones(2)})
    code, _, err = run("ls", tmp_path / "c", "--root", "params")
    assert code == 2
    assert err.endswith(
        "Pass `--root` the names that lead to the collections, or `--root params=` where the file "
        "holds bare parameters.\n"
    )
    assert names(run("ls", tmp_path / "c", "--json", "--root", "params=")[1]) == ["params/w"]


def test_key_map(tmp_path, run, capsys):
    linen_store.convert(
        {"fc": {"k": np.ones((2, 3)), "old": np.ones(1)}}, tmp_path / "m.safetensors"
    )
    (tmp_path / "map.json").write_text('{"fc.k": "params.Dense_0.kernel", "fc.old": null}')
    options = ["--key-map", tmp_path / "map.json"]
    assert names(run("ls", tmp_path / "m.safetensors", "--json", *options)[1]) == [
        "params/Dense_0/kernel"
    ]
    assert run("convert", tmp_path / "m.safetensors", tmp_path / "c", *options)[0] == 0
    assert linen_store.open_store(tmp_path / "c").collections() == ("params",)
    (tmp_path / "map.json").write_text('{"fc.k": null}')
    code, _, err = run("ls", tmp_path / "m.safetensors", *options)
    assert (code, "`--key-map` has no entry for 'fc.old'. Add one" in err) == (2, True)
    for text, message in (
        ("[]", "expected an object of names"),
        ("{", "cannot read"),
        (None, "No such file or directory"),
    ):
        if text is None:
            (tmp_path / "map.json").unlink()
        else:
            (tmp_path / "map.json").write_text(text)
        with pytest.raises(SystemExit):
            cli.main(["ls", str(tmp_path / "m.safetensors"), *map(str, options)])
        assert message in capsys.readouterr().err


def test_items_of_a_checkpoint_and_of_steps(tmp_path, run):
    def listed(path):
        code, found, _ = run("items", path, "--json")
        assert code == 0
        return [(one["step"], one["item"], one["state"]) for one in found["items"]]

    linen_store.save(tmp_path / "c", NESTED)
    assert listed(tmp_path / "c") == [(None, "state", "finished")]
    assert listed(tmp_path / "c" / "state") == [(None, None, "finished")]
    v1.save_checkpointables(tmp_path / "two", {"ema": {"w": np.ones(2)}, "opt": {"w": np.ones(2)}})
    assert listed(tmp_path / "two") == [(None, "ema", "finished"), (None, "opt", "finished")]
    with ocp.CheckpointManager(tmp_path / "m") as manager:
        for step in (2, 10):
            manager.save(step, args=ocp.args.StandardSave({"p": {"w": jnp.ones(2)}}))
    (tmp_path / "m" / "12.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "m" / ".linen-saving-13-abcdefgh").mkdir()
    (tmp_path / "m" / "14").mkdir()
    assert listed(tmp_path / "m") == [
        ("2", "default", "finished"),
        ("10", "default", "finished"),
        ("12", None, "unfinished"),
        ("13", None, "unfinished"),
        ("14", None, "not a checkpoint"),
    ]
    for step, item, state in listed(tmp_path / "m"):
        options = ["--step", step, *([] if item is None else ["--item", item])]
        assert (run("ls", tmp_path / "m", *options)[0] == 0) is (state == "finished")
    text = run("items", tmp_path / "m")[1]
    assert text.endswith("5 steps, 5 items\n")


def test_items_of_other_formats(tmp_path, run):
    for name in ("a.npz", "b.safetensors"):
        linen_store.convert(NESTED["model"], tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    found = run("items", tmp_path, "--json")[1]["items"]
    assert [one["item"] for one in found] == ["a.npz", "b.safetensors"]
    for one in found:
        assert run("ls", tmp_path, "--item", one["item"])[0] == 0
    assert run("items", tmp_path / "a.npz", "--json")[1]["items"] == [
        {"step": None, "item": None, "state": "finished"}
    ]
    code, _, err = run("items", tmp_path / "nothing")
    assert (code, "nothing is there" in err) == (2, True)


def test_convert_writes_what_the_ending_says(tmp_path, run, same):
    linen_store.save(tmp_path / "c", NESTED["model"])
    for ending in ("npz", "msgpack", "safetensors"):
        assert run("convert", tmp_path / "c", tmp_path / f"m.{ending}")[0] == 0
        assert (tmp_path / f"m.{ending}").is_file()
    assert run("convert", tmp_path / "c", tmp_path / "n", "--to", "npz", "--compression")[0] == 0
    code, _, err = run("convert", tmp_path / "c", tmp_path / "m.msgpack", "--compression")
    assert (code, err) == (
        2,
        f"linen-store: Cannot compress '{tmp_path / 'm.msgpack'}': msgpack has no compression. Leave "
        "`--compression` out, or pass `--to` one of ['orbax', 'npz'].\n",
    )


def test_an_error_names_the_option_and_the_advice_works(tmp_path, run):
    linen_store.save(tmp_path / "c", NESTED)
    command = ["convert", tmp_path / "c", tmp_path / "d"]
    assert run(*command)[0] == 0
    code, _, err = run(*command)
    assert (code, err) == (
        2,
        f"linen-store: Cannot save to '{tmp_path / 'd'}': it exists already. Pass --overwrite to "
        "replace it, or choose another path.\n",
    )
    assert run(*command, "--overwrite")[0] == 0
    assert (
        "--step 3 is given, and it has no steps. Leave `--step` out."
        in (run("ls", tmp_path / "c", "--step", "3")[2])
    )


def test_what_a_path_is_called_is_left_alone():
    path = "/data/step=3/item=x/overwrite=True"
    for quoted in (repr(path), f'"{path}"'):
        assert with_option_names(f"Cannot open {quoted}: `step=`") == (
            f"Cannot open {quoted}: `--step`"
        )


PYTHON = re.compile(r"\b(compression|item|key_map|layout|overwrite|root|step|to)=")


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case[0]).__name__)
def test_no_error_names_an_argument_of_python_that_is_an_option(case):
    assert PYTHON.findall(with_option_names(str(case[0]))) == []


def complete(shell, words, script):
    """Complete the last of the words in a shell."""
    quoted = " ".join(f'"{word}"' for word in words)
    tests = {
        "bash": f"{script}\nCOMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}\n_linen_store\n"
        'printf "%s\\n" "${COMPREPLY[@]}"',
        "zsh": "compdef() {}\n_files() { print -l -- *(N) }\n"
        "compadd() { shift; print -l -- ${(M)@:#${PREFIX}*} }\n"
        f"{script}\nwords=({quoted}) CURRENT={len(words)} PREFIX=${{words[-1]}}\n_linen_store",
        "fish": f"{script}\ncomplete -C '{' '.join(words)}'",
    }
    done = subprocess.run(
        [shutil.which(shell), "-c", tests[shell]], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return {line.split("\t")[0] for line in done.stdout.split("\n")} - {""}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(tmp_path, run, shell, monkeypatch):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    (tmp_path / "model.npz").write_text("")
    monkeypatch.chdir(tmp_path)
    code, script, _ = run("completion", shell)
    assert code == 0
    commands = complete(shell, ["linen-store", "co"], script)
    assert commands == {"convert", "completion"}
    assert complete(shell, ["linen-store", "ls", "--ro"], script) == {"--root"}
    assert complete(shell, ["linen-store", "convert", "a", "b", "--over"], script) == {
        "--overwrite"
    }
    assert complete(shell, ["linen-store", "convert", "--to", "saf"], script) == {"safetensors"}
    assert complete(shell, ["linen-store", "completion", "fi"], script) == {"fish"}
    assert complete(shell, ["linen-store", "ls", "mod"], script) == {"model.npz"}


PROGRESS = "import sys; from linen_store.cli import main; sys.exit(main())"


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no pseudo-terminals")
@pytest.mark.parametrize("command", ["verify", "convert", "diff"])
@pytest.mark.parametrize("terminal", [True, False])
def test_progress_in_a_terminal_only(tmp_path, command, terminal):
    tree = {"p": {str(number): np.full((500, 500), number) for number in range(4)}}
    linen_store.save(tmp_path / "c", tree)
    paths = {"verify": ["c"], "convert": ["c", "d"], "diff": ["c", "c"]}[command]
    arguments = [sys.executable, "-c", PROGRESS, command, *(str(tmp_path / one) for one in paths)]
    if not terminal:
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        assert (done.stderr, len(done.stdout.splitlines())) == ("", 1)
        return
    ours, theirs = os.openpty()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=theirs, text=True) as child:
        os.close(theirs)
        shown = b""
        while True:
            try:
                more = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not more:
                break
            shown += more
        assert len(child.stdout.read().splitlines()) == 1
    os.close(ours)
    assert child.returncode == 0
    assert re.search(rb"\r( *\d+ %|finishing,) of 7\.6 MiB", shown)
    assert shown.endswith(b"\r\x1b[K")


def test_the_package_runs_as_the_command():
    command = [sys.executable, "-m", "linen_store", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("linen-store ")
