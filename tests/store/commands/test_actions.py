"""The command linen-store: what it prints, as a table and as JSON, and its exit codes."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.flax

import linen_store
from linen_store import cli


def test_ls(path, run):
    code, found, _ = run("ls", path, "--json")
    assert code == 0
    assert (found["count"], found["bytes"]) == (6, 48 + 8 + 16 + 8 + 8)
    assert found["leaves"][1] == {
        "name": "params/Dense_0/kernel",
        "dtype": "float32",
        "shape": [3, 4],
        "bytes": 48,
    }
    code, text, _ = run("ls", path)
    assert "params/Dense_0/kernel" in text
    assert text.endswith("6 leaves, 88 bytes\n")


def test_tables_need_no_rich(path, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.table", None)
    _, text, _ = run("ls", path)
    assert text.splitlines()[:2] == [
        "name                   shape   dtype     bytes",
        "params/Dense_0/bias    (4,)    bfloat16  8",
    ]


def test_show(path, run):
    _, found, _ = run("show", path, "params/nan", "--json")
    assert found == {
        "name": "params/nan",
        "what": "float32(4,)",
        "elements": 4,
        "nan": 1,
        "inf": 1,
        "zeros": 1,
        "min": 0.0,
        "max": 2.0,
        "mean": 1.0,
        "std": 1.0,
        "values": "[nan, inf, 0.0, 2.0]",
    }
    assert run("show", path, "state/name", "--json")[1]["value"] == "run"
    assert run("show", path, "state/key", "--json")[1]["elements"] == 2
    assert run("show", path, "state/steps/0", "--json")[1]["max"] == 7.0
    code, out, err = run("show", path, "params/missing")
    assert (code, out) == (2, "")
    assert (
        err == f"linen-store: {path!r} has no leaf 'params/missing'; `linen-store ls` lists them.\n"
    )


def test_diff(path, tree, tmp_path, run):
    assert run("diff", path, path, "--json") == (0, {"same": 6, "different": []}, "")
    changed = tree
    changed["params"]["Dense_0"]["kernel"] += jnp.eye(3, 4) * 0.25
    changed["params"]["Dense_0"]["bias"] = jnp.zeros(5, jnp.bfloat16)
    changed["state"]["name"] = "other"
    changed["more"] = changed["params"].pop("nan")
    linen_store.save(tmp_path / "d", changed)
    code, found, _ = run("diff", path, tmp_path / "d", "--json")
    assert code == 1
    assert found == {
        "same": 2,
        "different": [
            {"name": "params/nan", "what": "only in the first", "how": ""},
            {"name": "more", "what": "only in the second", "how": ""},
            {
                "name": "params/Dense_0/bias",
                "what": "shape or dtype",
                "how": "bfloat16(4,) and bfloat16(5,)",
            },
            {
                "name": "params/Dense_0/kernel",
                "what": "values",
                "how": "3 of 12 elements, by up to 0.25",
            },
            {"name": "state/name", "what": "value", "how": "'run' and 'other'"},
        ],
    }
    names = [
        one["name"]
        for one in run("diff", path, tmp_path / "d", "--json", "--atol", "0.3")[1]["different"]
    ]
    assert "params/Dense_0/kernel" not in names


def test_convert_there_and_back(tmp_path, run, same):
    tree = {
        "params": {
            "w": jnp.arange(6.0).reshape(2, 3),
            "b": jnp.ones(2, jnp.bfloat16),
            "e": jnp.ones((0, 2)),
        }
    }
    linen_store.save(tmp_path / "c", tree)
    file = tmp_path / "m.safetensors"
    code, found, _ = run("convert", tmp_path / "c", file, "--json")
    assert (code, found["leaves"], found["bytes"]) == (0, 3, 28)
    assert {name: a.shape for name, a in safetensors.flax.load_file(file).items()} == {
        "params.w": (2, 3),
        "params.b": (2,),
        "params.e": (0, 2),
    }
    assert run("convert", file, tmp_path / "back", "--compression")[0] == 0
    assert same(linen_store.CheckpointStore(tmp_path / "back").snapshot(), tree)
    before = file.read_bytes()
    assert run("convert", tmp_path / "c", file)[0] == 2
    assert file.read_bytes() == before
    assert run("convert", tmp_path / "c", file, "--overwrite")[0] == 0
    assert sorted(child.name for child in tmp_path.iterdir()) == ["back", "c", "m.safetensors"]


CONVERT = """
linen_store.save(sys.argv[3], {"p": {"w": jnp.ones(300_000)}})
print(peak_of(lambda: linen_store.convert(sys.argv[1], sys.argv[2]))[0])
"""


@pytest.mark.parametrize("target", ["d", "m.safetensors"])
def test_converting_holds_few_arrays_in_memory(tmp_path, same, target, measured):
    tree = {"p": {str(n): jnp.full((1024, 1024), n, jnp.float32) for n in range(40)}}
    linen_store.save(tmp_path / "c", tree, compression=False)
    peak = measured(CONVERT, tmp_path / "c", tmp_path / target, tmp_path / "warm")
    assert peak < 80  # MiB, of 160 in all
    assert same(linen_store.open_store(tmp_path / target).snapshot(), tree)


@pytest.mark.parametrize(
    ("tree", "error"),
    [
        ({"a.b": {"c": np.ones(1)}}, "DottedName"),
        ({"a": {"k": jax.random.key(0)}}, "UnsupportedLeaf"),
        ({"a": {"s": "x"}}, "UnsupportedLeaf"),
        ({"a": {"n": None, "w": np.ones(1)}}, "UnsupportedLeaf"),
    ],
)
def test_what_safetensors_cannot_hold(tmp_path, tree, error):
    linen_store.save(tmp_path / "c", tree)
    with pytest.raises(getattr(linen_store.errors, f"{error}Error")):
        linen_store.convert(tmp_path / "c", tmp_path / "m", "safetensors")
    assert [child.name for child in tmp_path.iterdir()] == ["c"]


def test_plan(path, run):
    options = ["--mesh", "data=3,model=2", "--processes", "3", "--split", "kernel=data,model"]
    code, found, _ = run("plan", path, *options, "--json")
    whole = 8 + 16 + 8 + 8
    assert (code, found["total_bytes"], found["device_bytes"]) == (0, 88, whole + 8)
    assert found["process_bytes"] == [whole + 16] * 3
    assert run("plan", path, "--mesh", "data=5", "--split", "kernel=data")[0] == 2


def test_a_format_that_is_not_written(path, tmp_path):
    with pytest.raises(linen_store.errors.UnknownFormatError):
        linen_store.convert(path, tmp_path / "m", "h5")


def test_a_file_that_another_writer_made_meanwhile_is_not_replaced(tmp_path, path, monkeypatch):
    target = tmp_path / "m.safetensors"
    publish = linen_store.saving.converting.publish

    def late(finished, path, *, overwrite):
        target.write_text("of the other")
        publish(finished, path, overwrite=overwrite)

    monkeypatch.setattr("linen_store.saving.converting.publish", late)
    tree = linen_store.FrozenDictStore({"p": {"w": np.ones(2)}})
    with pytest.raises(linen_store.errors.CheckpointExistsError):
        linen_store.convert(tree, target)
    assert target.read_text() == "of the other"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mesh", "data"], "expected sizes of axes, as data=4,model=2, found 'data'"),
        (["--mesh", "data=x"], "expected sizes of axes"),
        (["--mesh", "data=2,"], "expected sizes of axes"),
        (["--mesh", "data=2", "--split", "kernel"], "expected a pattern and axes"),
        (["--mesh", "data=2", "--split", "(=data"], "expected a regular expression before"),
    ],
)
def test_options_of_plan_that_make_no_sense(path, capsys, options, message):
    with pytest.raises(SystemExit) as caught:
        cli.main(["plan", path, *options])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_integers_are_compared_exactly(tmp_path, run):
    for name, value in (("a", 2**60), ("b", 2**60 + 1)):
        linen_store.save(tmp_path / name, {"p": {"n": np.array([value])}})
    assert run("diff", tmp_path / "a", tmp_path / "b")[0] == 1
    assert run("diff", tmp_path / "a", tmp_path / "b", "--atol", "1")[0] == 0


def test_how_far_a_number_is_from_none_is_not_said_to_be_nothing(tmp_path, run):
    for name, value in (("a", np.nan), ("b", 2.0)):
        linen_store.save(tmp_path / name, {"p": {"n": np.array([1.0, value])}})
    (found,) = run("diff", tmp_path / "a", tmp_path / "b", "--json")[1]["different"]
    assert found["how"] == "1 of 2 elements, by up to nan"


@pytest.mark.parametrize("rich", [True, False])
def test_names_cannot_command_the_terminal(tmp_path, run, monkeypatch, rich):
    if not rich:
        monkeypatch.setitem(sys.modules, "rich.table", None)
    linen_store.save(tmp_path / "c", {"p": {"a\x1b[2J\nb[red]": np.ones(1)}})
    assert "p/a\\x1b[2J\\nb[red]" in run("ls", tmp_path / "c")[1]


def test_an_unfinished_checkpoint_is_a_finding_of_verify(tmp_path, run):
    (tmp_path / "c.orbax-checkpoint-tmp").mkdir()
    code, found, _ = run("verify", tmp_path / "c.orbax-checkpoint-tmp", "--json")
    assert (code, found["ok"]) == (1, False)
    assert "unfinished" in found["problems"][0]["what"]


def test_item_and_step(tmp_path, run):
    for step in (1, 2):
        linen_store.save(tmp_path / "m" / str(step), {"p": {"w": np.full(1, step)}})
    assert run("show", tmp_path / "m", "p/w", "--json")[1]["max"] == 2.0
    assert run("show", tmp_path / "m", "p/w", "--json", "--step", "1")[1]["max"] == 1.0


def test_a_path_that_cannot_be_opened(tmp_path, run):
    code, out, err = run("ls", tmp_path / "nothing")
    assert (code, out) == (2, "")
    assert err.startswith("linen-store: Cannot open")


def test_as_a_module(path):
    done = subprocess.run(
        [sys.executable, "-m", "linen_store.cli", "verify", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("6 leaves read, checksums, all can be read\n", 0)


def test_none_is_listed_and_compared(tmp_path, run):
    linen_store.save(tmp_path / "c", {"p": {"w": None, "b": None, "t": (None, 1)}})
    linen_store.save(tmp_path / "d", {"p": {"w": np.float32(1), "b": None, "t": (None, 1)}})
    found = run("ls", tmp_path / "c", "--json")[1]
    assert found["leaves"][0] == {"name": "p/b", "dtype": "None", "shape": [], "bytes": 0}
    assert [one["name"] for one in found["leaves"]] == ["p/b", "p/t/0", "p/t/1", "p/w"]
    code, found, _ = run("diff", tmp_path / "c", tmp_path / "d", "--json")
    assert (code, found["same"]) == (1, 3)
    assert found["different"] == [{"name": "p/w", "what": "kind", "how": "None and float32()"}]
    assert run("show", tmp_path / "c", "p/w", "--json")[1] == {"name": "p/w", "what": "None"}


def test_one_is_singular(tmp_path, run):
    linen_store.save(tmp_path / "c", {"p": {"w": np.ones(1, np.int8)}})
    linen_store.save(tmp_path / "d", {"p": {"w": np.zeros(1, np.int8)}})
    assert run("ls", tmp_path / "c")[1].endswith("1 leaf, 1 byte\n")
    assert run("verify", tmp_path / "c")[1] == "1 leaf read, checksums, all can be read\n"
    assert run("diff", tmp_path / "c", tmp_path / "c")[1] == "1 leaf is the same, 0 differ\n"
    assert run("diff", tmp_path / "c", tmp_path / "d")[1].endswith(
        "0 leaves are the same, 1 differs\n"
    )
    text = run("plan", tmp_path / "c", "--mesh", "data=1")[1]
    assert text.startswith(
        "1 array, 1 byte\neach device holds 1 byte\nthe only process reads 1 byte\n"
    )
    assert "1 leaf, 0 read" in repr(linen_store.open_store(tmp_path / "c"))


def test_a_reader_that_stops_early_is_no_error(path):
    program = "import sys; from linen_store.cli import main; sys.exit(main())"
    for options in (["ls", path], ["ls", path, "--json"]):
        reads, writes = os.pipe()
        os.close(reads)
        try:
            done = subprocess.run(
                [sys.executable, "-c", program, *options],
                stdout=writes,
                stderr=subprocess.PIPE,
                check=False,
            )
        finally:
            os.close(writes)
        assert (done.returncode, done.stderr) == (0, b"")
