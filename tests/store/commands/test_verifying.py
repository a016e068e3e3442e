"""`linen-store verify`: what it finds, and how far it says it could check."""

import os

import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1

import linen_store


def test_verify(path, tmp_path, run):
    ok = {
        "ok": True,
        "leaves": 6,
        "checksums": True,
        "coverage": "every file and every array was compared with its checksum",
        "problems": [],
    }
    assert run("verify", path, "--json") == (0, ok, "")
    for file in (tmp_path / "c" / "state").rglob("d/*"):
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 4
        file.write_bytes(raw)
    code, found, _ = run("verify", path, "--json")
    assert (code, found["ok"]) == (1, False)
    assert {one["what"] for one in found["problems"]} == {"its CRC-32 differs"}
    assert len(found["problems"]) == len(list((tmp_path / "c" / "state").rglob("d/*")))


def test_verify_without_checksums(tmp_path, run):
    file = tmp_path / "m.npz"
    np.savez(file, **{"p/a": np.arange(2000), "p/b": np.arange(2000)})
    assert run("verify", file)[1] == "2 leaves read, no checksums, all can be read\n"
    raw = bytearray(file.read_bytes())
    raw[600] ^= 1
    file.write_bytes(raw)
    code, found, _ = run("verify", file, "--json")
    assert (code, [one["where"] for one in found["problems"]]) == (1, ["p/a"])
    file.write_bytes(raw[:-50])
    code, found, _ = run("verify", file, "--json")
    assert (code, [one["where"] for one in found["problems"]]) == (1, [str(file)])


def test_verify_says_how_far_it_could_check(path, tmp_path, run):
    file = tmp_path / "m.npz"
    np.savez(file, **{"p/a": np.arange(3)})
    v1.save(tmp_path / "orbax", {"p": {"a": jnp.arange(3)}})
    expected = [
        (file, False, "the format has no checksums: everything was read"),
        (
            tmp_path / "orbax",
            False,
            "Orbax wrote it: the index of the arrays has checksums, their values have none",
        ),
    ]
    for where, has_checksums, coverage in expected:
        code, found, _ = run("verify", where, "--json")
        assert (code, found["checksums"], found["coverage"]) == (0, has_checksums, coverage)
        code, found, _ = run("verify", where, "--json", "--require-checksums")
        problem = {"where": str(where), "what": "it has no checksums"}
        assert (code, found["problems"]) == (1, [problem])
    assert run("verify", tmp_path / "orbax")[1] == (
        "1 leaf read, no checksums, all can be read; Orbax wrote it: "
        "the index of the arrays has checksums, their values have none\n"
    )


@pytest.mark.parametrize("name", ["_CHECKPOINT_METADATA", "commit_success.txt", "state/_sharding"])
def test_verify_covers_every_file(path, tmp_path, run, name):
    file = tmp_path / "c" / name
    raw = file.read_bytes()
    file.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    problem = {"where": str(file), "what": "its CRC-32 differs"}
    assert run("verify", path, "--json")[1]["problems"] == [problem]
    file.unlink()
    code, found, _ = run("verify", path, "--json")
    assert (code, [one["where"] for one in found["problems"]]) == (1, [str(file)])


def test_verify_names_other_items(tmp_path, run):
    linen_store.save(tmp_path / "c", {"p": {"a": jnp.arange(3)}})
    v1.save(tmp_path / "d", {"q": {"a": jnp.arange(3)}}, checkpointable_name="other")
    os.rename(tmp_path / "d" / "other", tmp_path / "c" / "other")
    assert run("verify", tmp_path / "c", "--item", "state")[1] == (
        "1 leaf read, checksums, all can be read; the files of 'other' have no checksums and were not compared\n"
    )
