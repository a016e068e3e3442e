"""Files for TensorBoard hold what flax writes with TensorFlow, which the tests do not install.

Its values are in tensorboard_events.json. To record them, install flax, tensorflow-cpu, tensorboardX and pillow, and run
`python tests/parity/test_tensorboard.py`.
"""

import inspect
import io
import json
import pathlib
import struct
import sys
import tempfile
import wave

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2, plugin_hparams_pb2, summary_pb2

RECORDED = pathlib.Path(__file__).parent / "tensorboard_events.json"
PIXELS = np.linspace(-0.2, 1.2, 24)
SOUND = np.sin(np.arange(40) / 3) * 1.5
WEIGHTS = np.sin(np.arange(60.0)) ** 3
HPARAMS = {
    "a": 1,
    "b": {"c": 0.5, "d": [1, 2]},
    "e": None,
    "f": True,
    "g": "s",
    "h": np.float32(2),
    "i": np.int64(3),
    "j": np.bool_(False),
}

CALLS = {
    "scalar": ("scalar", ("loss", 0.5, 3)),
    "scalar, array": ("scalar", ("loss", np.array(0.5, np.float16), 3)),
    "scalar, int": ("scalar", ("loss", 7, np.int64(1))),
    "image, grey": ("image", ("x", PIXELS.reshape(4, 6), 1)),
    "image, one colour": ("image", ("x", PIXELS.reshape(4, 6, 1), 1)),
    "image, colours": ("image", ("x", PIXELS.reshape(4, 2, 3), 1)),
    "images, grey": ("image", ("x", PIXELS.reshape(6, 2, 2).astype(np.float32), 1)),
    "images, colours": ("image", ("x", PIXELS.reshape(4, 1, 2, 3), 1, 2)),
    "images, uint8": (
        "image",
        ("x", (PIXELS.reshape(4, 1, 6, 1) * 99).clip(0).astype(np.uint8), 1),
    ),
    "images, none": ("image", ("x", np.zeros((0, 2, 2, 3)), 1)),
    "audio": ("audio", ("x", SOUND.reshape(2, 20, 1), 1)),
    "audio, options": ("audio", ("x", SOUND.reshape(4, 5, 2), 2, 8000, 2)),
    "histogram": ("histogram", ("w", WEIGHTS.reshape(6, 10), 1)),
    "histogram, one value": ("histogram", ("w", np.ones(5), 1)),
    "histogram, no value": ("histogram", ("w", np.zeros(0), 1)),
    "histogram, bins": ("histogram", ("w", np.arange(10), 1, 4)),
    "histogram, no bins": ("histogram", ("w", np.arange(10), 1, 0)),
    "text": ("text", ("t", "**x** ä", 1)),
    "text, bytes": ("text", ("t", b"x", 1)),
    "write": ("write", ("m", np.eye(2), 1)),
    "write, integers": ("write", ("m", np.arange(3, dtype=np.int16), 1)),
    "write, bool": ("write", ("m", np.array([True, False]), 1)),
    "write, text": ("write", ("m", "abc", 1)),
    "write, texts": ("write", ("m", np.array([["a"], ["b"]]), 1)),
    "write, float": ("write", ("m", 1.5, 1)),
    "write, int": ("write", ("m", [3, 4], 1)),
    "hparams": ("hparams", (HPARAMS,)),
}

_FIELDS = {1: "float_val", 2: "double_val", 3: "int_val", 9: "int64_val", 10: "bool_val"}
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 5: "<i2", 9: "<i8", 10: "?"}


def _events(folder):
    """The events of the files of a folder: records of a length, its checksum, the bytes and their checksum."""
    for file in sorted(pathlib.Path(folder).iterdir()):
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            yield event_pb2.Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]


def _contents(value):
    plugin = value.metadata.plugin_data
    if plugin.plugin_name == "hparams":
        start = plugin_hparams_pb2.HParamsPluginData.FromString(plugin.content).session_start_info
        return {name: str(number) for name, number in sorted(start.hparams.items())}
    tensor = value.tensor
    if tensor.dtype != 7:
        numbers = getattr(tensor, _FIELDS.get(tensor.dtype, "int_val"))
        array = np.frombuffer(tensor.tensor_content, _TYPES[tensor.dtype])
        return (array if not len(numbers) else np.array(numbers)).astype(float).tolist()
    if plugin.plugin_name == "images":
        texts = [text.decode() for text in tensor.string_val[:2]]
        return texts + [
            np.array(Image.open(io.BytesIO(png))).tolist() for png in tensor.string_val[2:]
        ]
    if plugin.plugin_name == "audio":
        return [_sound(data) if data else "" for data in tensor.string_val]
    return [text.decode() for text in tensor.string_val]


def _sound(data):
    with wave.open(io.BytesIO(data)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return [*file.getparams()[:4], samples.tolist()]


def written(library, call):
    """Return the written value as nested lists and strings."""
    name, args = call
    with tempfile.TemporaryDirectory() as folder:
        writer = library.SummaryWriter(folder)
        getattr(writer, name)(*args)
        writer.close()
        ((step, value),) = [(e.step, v) for e in _events(folder) for v in e.summary.value]
    plugin = value.metadata.plugin_data
    content = plugin.content.hex() if name != "hparams" else ""
    shape = [dim.size for dim in value.tensor.tensor_shape.dim]
    head = [step, value.tag, plugin.plugin_name, content, value.tensor.dtype, shape]
    return json.loads(json.dumps([*head, _contents(value)]))


def record():
    """Write what flax writes. It needs TensorFlow."""
    from flax.metrics import tensorboard  # noqa: PLC0415

    values = {name: written(tensorboard, call) for name, call in CALLS.items()}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in values.items()]
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    sys.exit(record())

from linen_summary import tensorboard  # noqa: E402


@pytest.mark.parametrize("name", CALLS)
def test_values(name):
    expected = json.loads(RECORDED.read_text())[name]
    found = written(tensorboard, CALLS[name])
    assert found[:-1] == expected[:-1]
    if name.startswith("histogram"):
        assert found[-1] == pytest.approx(expected[-1], rel=1e-12, abs=1e-12)
    else:
        assert found[-1] == expected[-1]


def test_jax_arrays_and_metadata(tmp_path):
    writer = tensorboard.SummaryWriter(tmp_path / "a" / "b", auto_flush=False)
    writer.scalar("x", jnp.float32(2), 1)
    writer.histogram("x", jnp.arange(3, dtype=jnp.bfloat16), 1)
    writer.image("x", jnp.zeros((2, 2), jnp.bfloat16), 1)
    metadata = summary_pb2.SummaryMetadata(display_name="shown")
    writer.write("x", jnp.ones(2, jnp.bfloat16), 1, metadata)
    writer.write("x", jnp.ones(2, jnp.uint32), 1, metadata.SerializeToString())
    writer.flush()
    writer.close()
    writer.close()
    values = [v for e in _events(tmp_path / "a" / "b") for v in e.summary.value]
    assert [value.tensor.dtype for value in values] == [1, 2, 7, 14, 22]
    assert [value.metadata.display_name for value in values[-2:]] == ["shown", "shown"]


def test_values_are_on_the_disk_when_the_call_returns(tmp_path):
    writer = tensorboard.SummaryWriter(tmp_path)
    writer.scalar("x", 1, 1)
    other = tensorboard.SummaryWriter(tmp_path)
    other.scalar("y", 1, 1)
    assert sorted(v.tag for e in _events(tmp_path) for v in e.summary.value) == ["x", "y"]
    writer.close()
    other.close()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            ("image", ("x", np.zeros((2, 2), np.int32), 1)),
            "Cannot write an image of int32. Convert it to uint8, or to floating-point numbers from 0 to 1.",
        ),
        (
            ("image", ("x", np.zeros((2, 2, 2, 2)), 1)),
            "Cannot write an image of shape (2, 2, 2, 2): expected (height, width), with one or three colours last.",
        ),
        (
            ("audio", ("x", np.zeros(3), 1)),
            "Cannot write audio of shape (3,): expected (sounds, samples, channels).",
        ),
        (("text", ("x", 3, 1)), "Cannot write int as text: expected a str or bytes."),
        (
            ("write", ("x", np.zeros(2, "datetime64[s]"), 1)),
            "Cannot write an array of datetime64[s] for TensorBoard. Convert it to one of: float32, float64, int32, "
            "uint8, int16, int8, complex64, int64, bool, bfloat16, uint16, complex128, float16, uint32, uint64.",
        ),
    ],
)
def test_wrong_values(tmp_path, call, message):
    writer = tensorboard.SummaryWriter(tmp_path)
    with pytest.raises(ValueError) as caught:
        getattr(writer, call[0])(*call[1])
    writer.close()
    assert str(caught.value) == message


def test_a_closed_writer(tmp_path):
    writer = tensorboard.SummaryWriter(tmp_path)
    writer.close()
    message = (
        f"Cannot write to {str(tmp_path)!r}: the writer is closed. Make another SummaryWriter."
    )
    for call in (lambda: writer.scalar("x", 1, 1), writer.flush):
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


@pytest.mark.parametrize(("package", "name"), [("tensorboardX", "tensorboardX"), ("PIL", "pillow")])
def test_a_missing_extra(monkeypatch, tmp_path, package, name):
    class Blocker:
        def find_spec(self, fullname, path=None, target=None):
            if fullname == package:
                raise ModuleNotFoundError(name=package)

    for module in list(sys.modules):
        if module.partition(".")[0] == package:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Blocker(), *sys.meta_path])
    with pytest.raises(ImportError) as caught:
        tensorboard.SummaryWriter(tmp_path).image("x", np.zeros((2, 2)), 1)
    assert str(caught.value) == (
        f"Writing files for TensorBoard needs {name}, which is not installed. Run: "
        "pip install 'linen-summary[tensorboard]'"
    )


def test_arguments():
    expected = {
        "__init__": "self, log_dir, auto_flush=True",
        "close": "self",
        "flush": "self",
        "scalar": "self, tag, value, step",
        "image": "self, tag, image, step, max_outputs=3",
        "audio": "self, tag, audiodata, step, sample_rate=44100, max_outputs=3",
        "histogram": "self, tag, values, step, bins=None",
        "text": "self, tag, textdata, step",
        "write": "self, tag, tensor, step, metadata=None",
        "hparams": "self, hparams",
    }
    for name, text in expected.items():
        parameters = inspect.signature(getattr(tensorboard.SummaryWriter, name)).parameters
        found = [
            p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters.values()
        ]
        assert ", ".join(found) == text
