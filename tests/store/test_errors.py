"""Every message of linen_store, word for word, with its data, its base classes and through a pickle."""

import pickle
import traceback

import pytest

import linen_core.errors
from linen_core.errors import LinenError, StoreError
from linen_store import errors

CASES = [
    (
        errors.ModelTargetError("a:B", "import", "ModuleNotFoundError: No module named 'a'"),
        ValueError,
        {
            "target": "a:B",
            "step": "import",
            "problem": "ModuleNotFoundError: No module named 'a'",
        },
        "Cannot import the model 'a:B': found ModuleNotFoundError: No module named 'a'. Name it as package.module:Name, "
        "from a folder where Python finds it.",
    ),
    (
        errors.MapError("a.toml", ["line 3: unknown word 'x'", "b: no rule uses it"]),
        ValueError,
        {"file": "a.toml", "problems": ("line 3: unknown word 'x'", "b: no rule uses it")},
        "Cannot use the map 'a.toml':\n  line 3: unknown word 'x'\n  b: no rule uses it\nCorrect the rules; `linen-store ls PATH` "
        "lists the names.",
    ),
    (
        errors.ViewError("stack of s", ["p: 1 is missing"]),
        ValueError,
        {"view": "stack of s", "problems": ("p: 1 is missing",)},
        "Cannot make the view stack of s:\n  p: 1 is missing\nCompare the names and shapes with "
        "store.spec(collection), and change the arguments.",
    ),
    (
        errors.FrozenDictSetError("a"),
        ValueError,
        {"key": "a"},
        "Cannot set 'a': a FrozenDict is immutable. Make a changed copy with `copy({'a': ...})`, or a plain dict with `unfreeze()`.",
    ),
    (
        errors.NotADictError("pop", [1]),
        TypeError,
        {"function": "pop", "found": [1]},
        "Cannot pop from a list: expected a FrozenDict or a dict.",
    ),
    (
        errors.CheckpointNotFoundError("/c"),
        FileNotFoundError,
        {"path": "/c"},
        "Cannot open '/c': nothing is there. Check the path.",
    ),
    (
        errors.NotACheckpointError("/c", "a file", "Do so."),
        ValueError,
        {"path": "/c", "found": "a file"},
        "Cannot open '/c' as a checkpoint: found a file. Do so.",
    ),
    (
        errors.UnfinishedCheckpointError("/c", "it has no _METADATA"),
        ValueError,
        {"path": "/c", "found": "it has no _METADATA"},
        "Cannot open '/c': the checkpoint is unfinished (it has no _METADATA). Wait for the process that writes it; if it has died, open an earlier checkpoint or save again.",
    ),
    (
        errors.AmbiguousCheckpointError("/c", "item", ["a", "b"]),
        ValueError,
        {"path": "/c", "argument": "item", "choices": ("a", "b"), "found": None},
        "Cannot open '/c': it holds ['a', 'b']. Pass `item=` one of them.",
    ),
    (
        errors.AmbiguousCheckpointError("/c", "step", [1, 2], 3),
        ValueError,
        {"found": 3},
        "Cannot open '/c': step=3 is not among [1, 2]. Pass `step=` one of them.",
    ),
    (
        errors.AmbiguousCheckpointError("/c", "step", (), 3),
        ValueError,
        {"choices": (), "found": 3},
        "Cannot open '/c': step=3 is given, and it has no steps. Leave `step=` out.",
    ),
    (
        errors.RootNotFoundError("/c", ("a",), "only ['b'] beside 'a'"),
        KeyError,
        {"path": "/c", "root": ("a",), "found": "only ['b'] beside 'a'"},
        "Cannot use ('a',) of '/c' as the root of the collections: found only ['b'] beside 'a'. Pass `root=` the names that lead to the collections, or {'params': ()} where the file holds bare parameters.",
    ),
    (
        errors.DamagedCheckpointError("/c", "/c/d", "it is missing"),
        ValueError,
        {"path": "/c", "file": "/c/d", "reason": "it is missing", "leaf": None},
        "Cannot read /c: /c/d is damaged (it is missing). Restore the files from a copy, or open another checkpoint.",
    ),
    (
        errors.ChecksumError("/c", "/c/d", "its CRC-32 differs", ["params", "w"]),
        errors.DamagedCheckpointError,
        {"leaf": ("params", "w")},
        "Cannot read 'params/w' of /c: /c/d is damaged (its CRC-32 differs). Restore the files from a copy, or open another checkpoint.",
    ),
    (
        errors.CheckpointReplacedError("/c"),
        RuntimeError,
        {"path": "/c"},
        "Cannot read from '/c': the checkpoint was replaced or removed since the store was opened. Open the store again.",
    ),
    (
        errors.StoreDtypeError("int32"),
        TypeError,
        {"dtype": "int32"},
        "Cannot read floating-point arrays as int32: expected a floating-point dtype. Read them unchanged and convert them yourself.",
    ),
    (
        errors.ForkedStoreError(1, 2),
        RuntimeError,
        {"opened_in": 1, "read_in": 2},
        "Cannot read in process 2: the store was opened in process 1, which was then forked, and its reader threads do not survive a fork. Start the child with the 'spawn' method and open the store there, or read before the fork.",
    ),
    (
        errors.CheckpointExistsError("/c"),
        FileExistsError,
        {"path": "/c"},
        "Cannot save to '/c': it exists already. Pass overwrite=True to replace it, or choose another path.",
    ),
    (
        errors.RemoteExistsError("s3://b/c"),
        FileExistsError,
        {"path": "s3://b/c"},
        "Cannot save to 's3://b/c': it exists already, and a bucket cannot replace it in one step. Save to another address, for example that of a new step, then delete the old checkpoint.",
    ),
    (
        errors.RemoteFailedError(
            "s3://b/c", "read", "PERMISSION_DENIED", "Access denied", ["params", "w"]
        ),
        OSError,
        {
            "path": "s3://b/c",
            "action": "read",
            "code": "PERMISSION_DENIED",
            "leaf": ("params", "w"),
        },
        "Cannot read 'params/w' of 's3://b/c': Access denied (PERMISSION_DENIED). Check the credentials, and their rights for this bucket.",
    ),
    (
        errors.UnwritablePathError("/c", "'/': Permission denied"),
        OSError,
        {"path": "/c", "reason": "'/': Permission denied"},
        "Cannot save to '/c': '/': Permission denied. Nothing was written; choose a folder that can be written.",
    ),
    (
        errors.SaveFailedError("/c", "No space left on device"),
        OSError,
        {"path": "/c", "reason": "No space left on device"},
        "Cannot save to '/c': No space left on device. An earlier checkpoint there is unchanged; free space or check the disk, then save again.",
    ),
    (
        errors.SaveFailedError("/c", "No space left on device", 28),
        OSError,
        {"path": "/c", "reason": "No space left on device", "errno": 28},
        "Cannot save to '/c': No space left on device. An earlier checkpoint there is unchanged; free space or choose another disk, then save again.",
    ),
    (
        errors.StepRemovalError("/c/7", "/c/5", "Permission denied", 13),
        OSError,
        {"path": "/c/7", "old": "/c/5", "reason": "Permission denied", "errno": 13},
        "Saved '/c/7', but cannot remove '/c/5': Permission denied. Remove it, or let this user write its folder.",
    ),
    (
        errors.UnwritablePathError("/c", "'/': Permission denied", 13),
        OSError,
        {"errno": 13},
        "Cannot save to '/c': '/': Permission denied. Nothing was written; give this user the right to write there or choose another folder.",
    ),
    (
        errors.NestedSaveError("/c"),
        RuntimeError,
        {"path": "/c"},
        "Cannot save to '/c': this thread is already saving, and would wait for itself forever. Pass wait=False; the save then starts after the running one.",
    ),
    (
        errors.ReadFailedError("/c", "/c/d", 5),
        OSError,
        {"path": "/c", "file": "/c/d", "errno": 5, "leaf": None},
        "Cannot read /c: the system refuses /c/d (Input/output error). Check the disk and try again; if it fails again, restore the files from a copy.",
    ),
    (
        errors.ReadFailedError("/c", "/c/d", 110),
        OSError,
        {"errno": 110},
        "Cannot read /c: the system refuses /c/d (Connection timed out). The checkpoint may be intact; try again later.",
    ),
    (
        errors.ReadPermissionError("/c", "/c/d", 13, ["params", "w"]),
        PermissionError,
        {"errno": 13, "leaf": ("params", "w")},
        "Cannot read 'params/w' of /c: the system refuses /c/d (Permission denied). Give this user the right to read it, or run as a user who has it.",
    ),
    (
        errors.SaveTimeoutError("/c", 5),
        TimeoutError,
        {"path": "/c", "timeout": 5},
        "Still saving to '/c' after 5 seconds. The save continues; wait for it again.",
    ),
    (
        errors.NameCollisionError("/c", "a.b", ["a", "b"], ["a.b"]),
        ValueError,
        {"path": "/c", "name": "a.b", "leaves": (("a", "b"), ("a.b",))},
        "Cannot save to '/c': the leaves ('a', 'b') and ('a.b',) would both be named 'a.b' in the checkpoint. Rename one of them.",
    ),
    (
        errors.UnsortableNamesError("/c", [1, "a"]),
        ValueError,
        {"path": "/c", "names": (1, "a")},
        "Cannot save to '/c': a dict has the names 1, 'a', whose types JAX cannot sort. Make them all strings or all integers.",
    ),
    (
        errors.UnsafeNameError("/c", [".."]),
        ValueError,
        {"path": "/c", "leaf": ("..",)},
        "Cannot open '/c': the leaf ('..',) does not name a file inside the checkpoint. Do not trust this checkpoint; ask who made it.",
    ),
    (
        errors.UnsupportedLeafError("/c", ["a", "b"], "a set"),
        TypeError,
        {"path": "/c", "leaf": ("a", "b"), "found": "a set"},
        "Cannot save 'a/b' to '/c': found a set, expected an array, a number, a string or None. Convert or remove it.",
    ),
    (
        errors.UnsupportedLeafError("/c", ["a", 1], "a str", "npz"),
        TypeError,
        {"leaf": ("a", 1), "found": "a str", "format": "npz"},
        "Cannot save 'a/1' to '/c': found a str, expected a value that npz can hold. Convert or remove it, or save as an Orbax checkpoint.",
    ),
    (
        errors.UncompressedFormatError("/c", "msgpack", ["orbax", "npz"]),
        ValueError,
        {"path": "/c", "format": "msgpack", "compressible": ("orbax", "npz")},
        "Cannot compress '/c': msgpack has no compression. Leave `compression=` out, or pass `to=` one of ['orbax', 'npz'].",
    ),
    (
        errors.DottedNameError("/c", ["a/b"], "npz", "/"),
        ValueError,
        {"path": "/c", "leaf": ("a/b",), "format": "npz"},
        "Cannot save ('a/b',) to '/c': npz joins names by slashes. A name must not contain any, nor be empty. Rename it, or save as an Orbax checkpoint.",
    ),
    (
        errors.RestoreMismatchError("Net", "MemoryStore()", ["params/a: missing"]),
        ValueError,
        {"model": "Net", "store": "MemoryStore()", "problems": ("params/a: missing",)},
        "Cannot restore Net from MemoryStore(): 1 leaf does not match. Map names with `rename=`, initialise missing variables with `init_missing=True`, ignore unexpected arrays with `strict=False`.\n  params/a: missing",
    ),
    (
        errors.RngsMissingError("Net", [("params", "a")]),
        ValueError,
        {"model": "Net", "missing": (("params", "a"),)},
        "Cannot initialise 1 variable of Net that the store lacks, the first is 'params/a': expected `rngs=`, found None. Pass a key or a dict of keys.",
    ),
    (
        errors.RenameCollisionError(["p", "x"], ["p", "a"], ["p", "b"]),
        ValueError,
        {"name": ("p", "x"), "leaves": (("p", "a"), ("p", "b"))},
        "Cannot rename: 'p/a' and 'p/b' would both be 'p/x'. Make the patterns of `rename` more exact, or drop one with None.",
    ),
    (
        errors.TorchNamesError("/c", "fc.weight"),
        ValueError,
        {"path": "/c", "name": "fc.weight"},
        "Cannot open '/c': it has the names of a PyTorch model, for example 'fc.weight', and PyTorch uses another layout of arrays: the kernel of a Linear is transposed. Write a copy with the arrays and names of the model, for example by `linen_store.save`. If the arrays already have the model's layout, pass `layout=\"model\"`, and `key_map=` from the names in the file to those of the variables.",
    ),
    (
        errors.TorchLayoutError("/c", "the format 'pt' in its metadata"),
        ValueError,
        {"path": "/c", "found": "the format 'pt' in its metadata"},
        "Cannot open '/c': it has the format 'pt' in its metadata, and PyTorch uses another layout of arrays: the kernel of a Linear is transposed. Write a copy with the arrays and names of the model, for example by `linen_store.save`. If the arrays already have the model's layout, pass `layout=\"model\"`, and `key_map=` from the names in the file to those of the variables.",
    ),
    (
        errors.UnknownOptionError("layout", "torch", ["model"]),
        ValueError,
        {"argument": "layout", "found": "torch", "known": ("model",)},
        "Cannot use layout='torch': expected one of ['model']. Pass one of them, or leave it out.",
    ),
    (
        errors.PatternUnmatchedError("rename", "^parms/", "params"),
        ValueError,
        {"argument": "rename", "pattern": "^parms/", "closest": "params"},
        "Cannot use the pattern '^parms/' of `rename`: it matches the name of no stored array. The closest name is 'params'. Correct the pattern, or leave it out.",
    ),
    (
        errors.RestoreTargetError("int", "it is neither a model nor a pytree"),
        TypeError,
        {"found": "int", "reason": "it is neither a model nor a pytree"},
        "Cannot restore into a value of class int: it is neither a model nor a pytree. Pass a model and the arguments of its call, or only a pytree of arrays or `jax.ShapeDtypeStruct`.",
    ),
    (
        errors.StoreOptionsError(["item", "step"], "dict"),
        TypeError,
        {"options": ("item", "step"), "found": "dict"},
        "Cannot use `item=`, `step=` with a dict: expected the path of a checkpoint. Pass the path instead, or pass them to `open_store` and its store here. If the model itself takes an argument of such a name, pass it in `call_kwargs=`.",
    ),
    (
        errors.StateTargetError(".", "Dense"),
        TypeError,
        {"path": ".", "found": "Dense"},
        "Cannot restore into the class Dense at '.': expected a value with the structure that was saved. Pass an instance of Dense, or None for the bare state dict.",
    ),
    (
        errors.RemotePathError("hdfs://bucket/c"),
        ValueError,
        {"path": "hdfs://bucket/c"},
        "Cannot use 'hdfs://bucket/c': expected a path of this machine. `open_store`, `restore`, `save` and `convert` also take addresses that start with s3://, gs://, http:// or https://; copy anything else to a disk.",
    ),
    (
        errors.FormatOptionsError("/c.tiny", "dtype", ["path", "root"]),
        TypeError,
        {"path": "/c.tiny", "option": "dtype", "supported": ("path", "root")},
        "Cannot open '/c.tiny' with `dtype=`: expected one of the options of its format, ['path', 'root']. Leave it out.",
    ),
    (
        errors.KeyMapError("/c"),
        TypeError,
        {"path": "/c"},
        "Cannot open '/c' with a `key_map`: its names are not flat strings. Use `root=` for the part that holds the collections, and `rename=` of `restore` for the rest.",
    ),
    (
        errors.UnevenShardingError(
            ["p", "w"], (3, 2), "P('x',)", 0, {"x": 2}, "axis 0 does not divide evenly"
        ),
        ValueError,
        {
            "names": ("p", "w"),
            "shape": (3, 2),
            "partition": "P('x',)",
            "axis": 0,
            "sizes": {"x": 2},
        },
        "Cannot split 'p/w' of shape (3, 2) as P('x',) over the mesh {'x': 2}: axis 0 does not divide evenly. Change the rules or the mesh.",
    ),
    (
        errors.DottedNameError("/c", ["a.b"]),
        ValueError,
        {"path": "/c", "leaf": ("a.b",)},
        "Cannot save ('a.b',) to '/c': safetensors joins names by dots. A name must not contain any, nor be empty. Rename it, or save as an Orbax checkpoint.",
    ),
    (
        errors.HandlerExistsError(dict),
        ValueError,
        {"type": dict},
        "Cannot register dict for serialization: it is already registered. Pass override=True to replace the registration.",
    ),
    (
        errors.AmbiguousKeysError([1, "1"]),
        ValueError,
        {"keys": [1, "1"]},
        "Cannot make a state dict of a dict with the keys [1, '1']: some are the same as strings. Rename one of them.",
    ),
    (
        errors.StateMismatchError("./a", "dict", ["x"], ["y"]),
        ValueError,
        {"path": "./a", "kind": "dict", "expected": ["x"], "found": ["y"]},
        "Cannot restore the dict at './a': expected the names ['x'], found ['y']. Restore into a target of the structure that was saved.",
    ),
    (
        errors.StateShapeError("./a", (1,), (2,)),
        ValueError,
        {"path": "./a", "expected": (1,), "found": (2,)},
        "Cannot restore the array at './a': expected the shape (1,), found (2,). Restore into a target of the shapes that were saved, or into None for the bare state.",
    ),
    (
        errors.UnsupportedStateError("a set"),
        TypeError,
        {"found": "a set"},
        "Cannot serialize a set: expected arrays, numbers, strings, bytes, None, dicts and lists. Convert it, or register its type with `register_serialization_state`.",
    ),
    (
        errors.SeveralProcessesError("/c", 2),
        RuntimeError,
        {"path": "/c", "processes": 2},
        "Cannot save to '/c': 2 processes run together, and expected the coordination service of JAX to let them agree. Call `jax.distributed.initialize` in each of them before the first computation.",
    ),
    (
        errors.LostProcessError("/c", [1, 3], 4, 60.0),
        RuntimeError,
        {"path": "/c", "processes": (1, 3), "count": 4, "timeout": 60.0},
        "Cannot save to '/c': expected signs of life of 4 processes, found none of process 1, 3 for 60 seconds. An earlier checkpoint there is unchanged, unless the new one is complete. Start the processes again; if they were only slow, pass a longer `timeout=`.",
    ),
    (
        errors.ProcessesDisagreeError("/c", 1, "overwrite=True", "overwrite=False"),
        ValueError,
        {"path": "/c", "process": 1, "found": "overwrite=True", "expected": "overwrite=False"},
        "Cannot save to '/c': process 1 has overwrite=True, and process 0 has overwrite=False. Nothing was written. Pass the same path, options and tree in every process.",
    ),
    (
        errors.StepNotFoundError("/c", 5, [1, 2]),
        LookupError,
        {"path": "/c", "step": 5, "steps": (1, 2)},
        "Cannot restore step 5 of '/c': found the steps [1, 2]. Pass one of them.",
    ),
    (
        errors.StepNotFoundError("/c", None, []),
        LookupError,
        {"path": "/c", "step": None, "steps": ()},
        "Cannot restore the newest step of '/c': found no finished step. Save a step first, or check the folder.",
    ),
    (
        errors.UnmappedNameError("/c", "a"),
        KeyError,
        {"path": "/c", "name": "a"},
        "Cannot open '/c': `key_map` has no entry for 'a'. Add one; None leaves the array out.",
    ),
    (
        errors.RenamePatternError("(", "x", "unbalanced"),
        ValueError,
        {"pattern": "(", "replacement": "x", "reason": "unbalanced"},
        "Cannot rename '(' to 'x': unbalanced. Correct it; `re.escape` turns a name into a pattern that matches it exactly.",
    ),
    (
        errors.UnknownFormatError("npz", ["orbax"]),
        ValueError,
        {"found": "npz", "known": ("orbax",)},
        "Cannot convert to 'npz': expected one of ['orbax']. Pass `to=` one of them, or leave it out: the suffix of the path then decides.",
    ),
    (
        errors.UnencodableNameError("/c", ["a", "b\ud800"]),
        ValueError,
        {"path": "/c", "leaf": ("a", "b\ud800")},
        "Cannot save ('a', 'b\\ud800') to '/c': names are written as UTF-8, and this one has half a surrogate pair in it. Rename it.",
    ),
    (
        errors.MeshSizeError({"x": 2}, 3),
        ValueError,
        {"sizes": {"x": 2}, "processes": 3},
        "Cannot plan for the mesh {'x': 2} and 3 processes: expected at least one device along each axis, and one process or more, but no more than there are devices. Change the mesh or the number of processes.",
    ),
    (
        errors.StateKeysError("Box", [1]),
        AssertionError,
        {"type": "Box", "keys": [1]},
        "Cannot make a state dict of a Box: the function registered for it returned the keys [1], expected strings. Change the function that was passed to `register_serialization_state`.",
    ),
    (
        errors.BadMsgpackError("too short"),
        ValueError,
        {"reason": "too short"},
        "Cannot restore a tree from bytes: they are damaged or of another format (too short). Expected the output of `to_bytes`; read them from another copy.",
    ),
]

STANDALONE = {
    errors.ModelTargetError,
    errors.StateTargetError,
    errors.StateKeysError,
    errors.FrozenDictSetError,
    errors.NotADictError,
    errors.HandlerExistsError,
    errors.AmbiguousKeysError,
    errors.StateMismatchError,
    errors.StateShapeError,
    errors.UnsupportedStateError,
    errors.BadMsgpackError,
}


@pytest.mark.parametrize(
    ("error", "base", "data", "text"), CASES, ids=lambda case: type(case).__name__
)
def test_message_data_and_pickle(error, base, data, text):
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert type(one) is type(error)
        assert str(one) == text
        assert isinstance(one, base)
        assert isinstance(one, LinenError)
        assert {name: getattr(one, name) for name in data} == data


def test_every_error_has_a_case():
    named = {getattr(errors, name) for name in errors.__all__}
    assert named == {type(error) for error, *_ in CASES}
    for error in named - STANDALONE:
        assert issubclass(error, StoreError)


@pytest.mark.parametrize("module", [errors, linen_core.errors])
def test_errors_are_known_by_their_public_module(module):
    for name in module.__all__:
        error = getattr(module, name)
        assert error.__module__ == module.__name__
        assert pickle.loads(pickle.dumps(error)) is error


def test_a_traceback_names_the_public_class():
    shown = traceback.format_exception_only(errors.ChecksumError("/c", "/c/d", "it differs"))
    assert shown[0].startswith("linen_store.errors.ChecksumError: Cannot read /c")
