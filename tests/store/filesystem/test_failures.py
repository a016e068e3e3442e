"""Failures of the system are told as what they are, and to follow the advice helps."""

import contextlib
import errno
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pytest

import linen_store
from linen_store import CheckpointStore, convert, open_store, save
from linen_store.errors import (
    CheckpointNotFoundError,
    CheckpointReplacedError,
    DamagedCheckpointError,
    ReadFailedError,
    ReadPermissionError,
    SaveFailedError,
    UnfinishedCheckpointError,
)
from linen_store.filesystem.atomic_replace import staging_directory
from linen_store.formats.orbax import checkpoint_store, layout

RNG = np.random.default_rng(0)
TREE = {"p": {"w": RNG.random((300, 300)), "s": "text"}}
BIG = {"p": {str(number): RNG.random((256, 256)) for number in range(20)}}

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="as Linux does it")


def run(program, *arguments):
    """Run a program; what it prints, one JSON value a line. It has to print nothing else."""
    head = "import json, os, resource, sys\nimport numpy as np, linen_store\n"
    done = subprocess.run(
        [sys.executable, "-c", head + program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


OPEN_AS_NOBODY = """
import json, os, sys
import linen_store
"".encode("cp437")  # of names in an archive; what is imported now may not be read later
if os.getuid() == 0: os.setuid(65534)
for line in sys.stdin:
    try:
        with linen_store.open_store(line[:-1]) as store:
            store.snapshot()
        found = "read"
    except Exception as error:
        found = [type(error).__name__, *(getattr(error, name, None) for name in ("errno", "file")), str(error)]
    print(json.dumps(found), flush=True)
"""


@pytest.fixture(scope="module")
def nobody():
    """Open a path as a user who may not read everything, and return what came of it."""
    command = [sys.executable, "-c", OPEN_AS_NOBODY]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as child:

        def opened(path):
            child.stdin.write(f"{path}\n")
            child.stdin.flush()
            return json.loads(child.stdout.readline())

        yield opened


@pytest.fixture
def public(tmp_path):
    """A folder that any user may search, and whose files any user may read."""
    top = pathlib.Path(tempfile.gettempdir())
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(top) and folder != top:
            folder.chmod(0o755)
    return tmp_path


@linux_only
def test_every_file_that_may_not_be_read_is_a_permission_error_and_the_advice_works(public, nobody):
    save(public / "c", TREE)
    for ending in ("npz", "msgpack", "safetensors"):
        convert({"p": {"w": TREE["p"]["w"]}}, public / f"m.{ending}")
    state = public / "c" / "state"
    used = {state, state / "d", *(state / name for name in ("_METADATA", "_strings.json"))}
    used |= {state / "manifest.ocdbt", state / "_linen_checksums.json", *state.glob("d/*")}
    files = dict.fromkeys(used | {public / "c"}, public / "c")
    files |= {file: file for file in public.glob("m.*")}
    for path in public.rglob("*"):
        path.chmod(0o755)
    for path, opened in files.items():
        path.chmod(0)
        found = nobody(opened)
        path.chmod(0o755)
        assert found[:2] == ["ReadPermissionError", errno.EACCES]
        assert found[2].startswith(str(path))
        assert found[3].endswith(
            "(Permission denied). Give this user the right to read it, or run as a user who has it."
        )
    assert [nobody(path) for path in set(files.values())] == ["read"] * 4


@linux_only
def test_a_folder_above_that_may_not_be_searched_is_a_permission_error(public, nobody):
    save(public / "above" / "c", TREE)
    (public / "above").chmod(0)
    found = nobody(public / "above" / "c")
    (public / "above").chmod(0o755)
    assert found[:2] == ["ReadPermissionError", errno.EACCES]
    with pytest.raises(CheckpointNotFoundError):
        open_store(public / "above" / "d")


LIMITED = """
linen_store.save(sys.argv[1] + "-new", {"p": {"w": np.ones(2)}})  # imports what is imported late
held = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, before[1]))
for action in (
    lambda: linen_store.open_store(sys.argv[1]),
    lambda: linen_store.save(sys.argv[1] + "-other", {"p": {"w": np.ones(2)}}),
):
    try:
        print(json.dumps(str(action())))
    except Exception as error:
        print(json.dumps([type(error).__name__, error.errno, str(error)]))
for descriptor in held:
    os.close(descriptor)
resource.setrlimit(resource.RLIMIT_NOFILE, before)
linen_store.save(sys.argv[1] + "-other", {"p": {"w": np.ones(2)}})
print(json.dumps(sorted(os.listdir(os.path.dirname(sys.argv[1])))))
"""


@linux_only
def test_too_many_open_files(tmp_path):
    save(tmp_path / "c", TREE)
    reading, saving, after = run(LIMITED, tmp_path / "c")
    assert reading[:2] == ["ReadFailedError", errno.EMFILE]
    assert saving[:2] == ["UnwritablePathError", errno.EMFILE]
    assert "raise the limit (`ulimit -n`)" in reading[2]
    assert "raise the limit (`ulimit -n`)" in saving[2]
    assert after == ["c", "c-new", "c-other"]


FILL = """
import signal
path, limit = sys.argv[1], int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
big = np.load(sys.argv[2])
before = resource.getrlimit(resource.RLIMIT_FSIZE)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
def save(): linen_store.save(path, {"p": dict(big)})
actions = [save] + [
    lambda ending=ending: linen_store.convert({"p": dict(big)}, path + ending)
    for ending in ("-folder", ".npz", ".msgpack", ".safetensors")
]
for action in actions:
    try:
        action()
        print(json.dumps("saved"))
    except linen_store.errors.SaveFailedError as error:
        print(json.dumps([error.errno, error.path, str(error)]))
handle = linen_store.save(path, {"p": dict(big)}, wait=False)
try:
    handle.wait()
except linen_store.errors.SaveFailedError as error:
    print(json.dumps([error.errno, error.path, str(error)]))
print(json.dumps(os.listdir(os.path.dirname(path))))
resource.setrlimit(resource.RLIMIT_FSIZE, before)
if limit:
    save()
    print(json.dumps(os.listdir(os.path.dirname(path))))
"""


def check_failures(found, target, number, text):
    paths = [target + ending for ending in ("", "-folder", ".npz", ".msgpack", ".safetensors", "")]
    for path, failure in zip(paths, found, strict=True):
        assert failure == [
            number,
            path,
            f"Cannot save to {path!r}: {text}, then save again.",
        ]


@linux_only
def test_a_limit_on_the_size_of_files(tmp_path):
    np.savez(tmp_path / "big.npz", **BIG["p"])
    target = str(tmp_path / "to" / "m")
    *found, left, after = run(FILL, target, tmp_path / "big.npz", 100_000)
    text = (
        "File too large. An earlier checkpoint there is unchanged; raise the limit on the size of files "
        "(`ulimit -f`) or choose another disk"
    )
    check_failures(found, target, errno.EFBIG, text)
    assert (left, after) == ([], ["m"])


@contextlib.contextmanager
def mounted(folder, options):
    """A small disk of its own, where the system lets this process have one."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("this process may not mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@linux_only
@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no command to mount a disk")
def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(tmp_path):
    np.savez(tmp_path / "big.npz", **BIG["p"])
    with mounted(tmp_path / "disk", "size=2m") as disk:
        target = str(disk / "m")
        *found, left = run(FILL, target, tmp_path / "big.npz", 0)
        text = (
            "No space left on device. An earlier checkpoint there is unchanged; free space or choose "
            "another disk"
        )
        check_failures(found, target, errno.ENOSPC, text)
        assert left == []
        subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
        save(target, BIG)
        assert open_store(target).children("p") == tuple(sorted(BIG["p"]))


@linux_only
@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no command to mount a disk")
def test_a_disk_that_is_read_only(tmp_path):
    with mounted(tmp_path / "disk", "size=2m") as disk:
        save(disk / "c", {"p": {"w": np.ones(2)}})
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert open_store(disk / "c").get("p", ("w",)).tolist() == [1, 1]
        with pytest.raises(linen_store.errors.UnwritablePathError) as caught:
            save(disk / "d", {"p": {"w": np.ones(2)}})
        assert caught.value.errno == errno.EROFS
        assert str(caught.value).endswith(
            "Read-only file system. Nothing was written; choose a folder on a disk that can be written."
        )


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EIO, ReadFailedError),
        (errno.ESTALE, ReadFailedError),
        (errno.ENOMEM, ReadFailedError),
        (errno.ETIMEDOUT, ReadFailedError),
        (errno.EACCES, ReadPermissionError),
        (errno.EPERM, ReadPermissionError),
        (errno.EISDIR, DamagedCheckpointError),
    ],
)
@pytest.mark.parametrize("name", ["_METADATA", "_linen_checksums.json", "_strings.json"])
def test_what_an_error_number_means(tmp_path, monkeypatch, number, kind, name):
    save(tmp_path / "c", TREE)

    def refuse(file, *arguments, **options):
        if os.fspath(file).endswith(name):
            raise OSError(number, os.strerror(number), file)
        return open(file, *arguments, **options)

    for module in (layout, checkpoint_store, sys.modules["linen_store.formats.orbax.checksums"]):
        monkeypatch.setattr(module, "open", refuse, raising=False)
    with pytest.raises(kind) as caught:
        open_store(tmp_path / "c").snapshot()
    assert type(caught.value) is kind
    assert caught.value.file == str(tmp_path / "c" / "state" / name)
    assert os.strerror(number) in str(caught.value)
    monkeypatch.undo()
    assert open_store(tmp_path / "c").get("p", ("s",)) == "text"


KILLED = """
import signal
from linen_store.saving import checkpoint as saving
saving.write_with_orbax = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
linen_store.save(sys.argv[1], {"p": {"w": np.ones(2)}})
"""


@pytest.fixture
def killed(tmp_path):
    """A folder of steps, whose first save was killed."""
    command = "import os, sys\nimport numpy as np, linen_store\n" + KILLED
    subprocess.run([sys.executable, "-c", command, str(tmp_path / "steps" / "1")], check=False)
    (left,) = os.listdir(tmp_path / "steps")
    assert re.fullmatch(r"\.linen-saving-1-\w{8}", left)
    return tmp_path / "steps"


def test_a_first_save_that_was_killed_is_unfinished_and_the_advice_works(killed):
    for path in (killed, killed / "1"):
        for opening in (open_store, CheckpointStore):
            with pytest.raises(UnfinishedCheckpointError, match=r"\.linen-saving-1-"):
                opening(path)
    with pytest.raises(CheckpointNotFoundError):
        open_store(killed / "2")
    save(killed / "1", TREE)
    assert open_store(killed).get("p", ("s",)) == "text"
    assert os.listdir(killed) == ["1"]


def test_a_save_that_was_killed_is_no_step_whatever_its_random_name(killed):
    (left,) = os.listdir(killed)
    (killed / left).rename(killed / ".linen-saving-1-nozvf_10")
    test_a_first_save_that_was_killed_is_unfinished_and_the_advice_works(killed)
    save(killed / "other", {"p": {"s": "of a save that was killed"}})
    (killed / "other").rename(killed / ".linen-saving-2-abcdef_7")
    assert open_store(killed).get("p", ("s",)) == "text"


def test_an_earlier_step_is_opened_beside_a_save_that_was_killed(killed):
    save(killed / "0", TREE)
    assert open_store(killed).get("p", ("s",)) == "text"


def test_an_old_step_that_waits_for_a_new_one_is_opened(tmp_path):
    """As a writer leaves it that was killed where two folders cannot change places in one step."""
    save(tmp_path / "1", TREE)
    (tmp_path / "1").rename(tmp_path / ".1.linen-old")
    assert open_store(tmp_path).get("p", ("s",)) == "text"
    save(tmp_path / "1", {"p": {"s": "new"}}, overwrite=True)
    assert open_store(tmp_path).get("p", ("s",)) == "new"


@pytest.mark.parametrize(
    ("owner", "name"), [(checkpoint_store, "load_tree"), (checkpoint_store.Checksums, "load")]
)
def test_what_is_replaced_while_it_is_opened_is_opened_anew(tmp_path, monkeypatch, owner, name):
    path = tmp_path / "c"
    save(path, TREE)
    inner = getattr(owner, name)
    times = []

    def late(*arguments, **options):
        times.append(None)
        found = inner(*arguments, **options)
        if len(times) <= 2:
            save(path, {"p": {"s": f"new {len(times)}"}}, overwrite=True)
        return found

    monkeypatch.setattr(owner, name, late)
    store = CheckpointStore(path, verify="files")
    assert store.snapshot() == {"p": {"s": "new 2"}}


def test_what_fails_to_open_because_it_is_being_replaced_is_opened_anew(tmp_path, monkeypatch):
    path = tmp_path / "c"
    save(path, TREE)
    inner, times = checkpoint_store.load_tree, []

    def gone(folder):
        times.append(None)
        if len(times) == 1:
            save(path, {"p": {"s": "new"}}, overwrite=True)
            file = os.path.join(folder, "_METADATA")
            raise DamagedCheckpointError(folder, file, "No such file or directory")
        return inner(folder)

    monkeypatch.setattr(checkpoint_store, "load_tree", gone)
    assert CheckpointStore(path).get("p", ("s",)) == "new"
    assert len(times) == 2


def test_damage_is_told_at_once(tmp_path, monkeypatch):
    save(tmp_path / "c", TREE)
    (tmp_path / "c" / "state" / "_METADATA").write_text("{")
    inner, times = checkpoint_store.load_tree, []
    monkeypatch.setattr(
        checkpoint_store, "load_tree", lambda folder: (times.append(1), inner(folder))
    )
    with pytest.raises(DamagedCheckpointError):
        open_store(tmp_path / "c")
    assert len(times) == 1


def test_strings_of_a_checkpoint_that_was_replaced_are_not_given(tmp_path):
    save(tmp_path / "c", TREE)
    for verify in (True, False):
        store = CheckpointStore(tmp_path / "c", verify=verify)
        save(tmp_path / "c", {"p": {"w": np.ones(1), "s": "another"}}, overwrite=True)
        with pytest.raises(CheckpointReplacedError):
            store.spec("p", ("s",))
    assert open_store(tmp_path / "c").get("p", ("s",)) == "another"


WRITER = """
for number in range(int(sys.argv[2])):
    tree = {"p": {str(n): np.full((20, 20), number) for n in range(number % 3 + 1)}}
    linen_store.save(sys.argv[1], tree, overwrite=True)
"""


def test_a_reader_next_to_two_writers_never_sees_damage(tmp_path):
    """With LINEN_WRITES=500 in the environment, each writes so often."""
    path = tmp_path / "c"
    save(path, {"p": {"0": np.zeros((20, 20))}})
    times = os.environ.get("LINEN_WRITES", "8")
    writers = [threading.Thread(target=run, args=(WRITER, path, times)) for _ in range(2)]
    for writer in writers:
        writer.start()
    opened = 0
    while any(writer.is_alive() for writer in writers):
        store = open_store(path, verify="files")
        opened += 1
        with contextlib.suppress(CheckpointReplacedError):
            assert len({int(leaf[0, 0]) for leaf in store.snapshot()["p"].values()}) == 1
    assert opened > 5


def test_a_failure_that_is_none_of_the_system_keeps_its_reason(tmp_path, monkeypatch):
    def fail(*_):
        msg = "no such luck"
        raise ValueError(msg)

    monkeypatch.setattr("linen_store.saving.checkpoint.write_with_orbax", fail)
    with pytest.raises(SaveFailedError) as caught:
        save(tmp_path / "c", TREE)
    assert (caught.value.errno, caught.value.reason) == (None, "no such luck")


def test_a_write_that_ends_after_a_failure_leaves_no_folder(tmp_path):
    late = []

    def fail():
        with staging_directory(str(tmp_path / "model")) as folder:
            late.append(threading.Timer(0.05, os.makedirs, [os.path.join(folder, "checkpoint")]))
            late[0].start()
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    late[0].join()
    assert os.listdir(tmp_path) == []
