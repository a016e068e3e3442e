"""Files for TensorBoard, with the names of ``flax.metrics.tensorboard``, and without TensorFlow.

It needs ``pip install "linen-summary[tensorboard]"``, which installs tensorboardX and pillow. The files hold what flax
writes: tensors for the plugins of TensorBoard 2.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import itertools
import os
import time
import wave
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["SummaryWriter"]

_WAV = b"\x10\x0b"
"""``AudioPluginData(encoding=WAV)`` of TensorBoard: field 2 has the value 11."""

# The numbers of ``tensorflow.DataType``.
_DTYPES = {
    "float32": 1,
    "float64": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 5,
    "int8": 6,
    "complex64": 8,
    "int64": 9,
    "bool": 10,
    "bfloat16": 14,
    "uint16": 17,
    "complex128": 18,
    "float16": 19,
    "uint32": 22,
    "uint64": 23,
}
_STRING = 7

_numbers = itertools.count()
"""Numbers of the writers of this process: two that are made in the same second have files of their own."""


class SummaryWriter:
    """Writes scalars, images and other values of a training run for TensorBoard.

    Args:
      log_dir: the folder of the run; it is made if it is missing.
      auto_flush: whether each value is on the disk when the call returns.

    Raises:
      ImportError: tensorboardX is not installed, or for images pillow.
      ValueError: in each method, if the writer is closed.

    Example:
      >>> import os, tempfile
      >>> folder = tempfile.mkdtemp()
      >>> writer = SummaryWriter(folder)
      >>> for step in range(3):
      ...     writer.scalar("loss", 1 / (step + 1), step)
      >>> writer.close()
      >>> [name.split(".")[0] for name in os.listdir(folder)]
      ['events']
    """

    def __init__(self, log_dir: str | os.PathLike[str], auto_flush: bool = True) -> None:
        self._log_dir = os.fspath(log_dir)
        self._auto_flush = auto_flush
        _of_extra("tensorboardX.record_writer").directory_check(self._log_dir)
        files = _of_extra("tensorboardX.event_file_writer")
        suffix = f".{os.getpid()}.{next(_numbers)}.v2"
        self._events: Any = files.EventsWriter(os.path.join(self._log_dir, "events"), suffix)
        self._close = weakref.finalize(self, self._events.close)  # also at the end of the process

    def close(self) -> None:
        """Write what waits, and end the file. A second call does nothing.

        Example:
          >>> import tempfile
          >>> writer = SummaryWriter(tempfile.mkdtemp())
          >>> writer.close()
        """
        self._close()

    def flush(self) -> None:
        """Write what waits to the disk.

        Example:
          >>> import tempfile
          >>> SummaryWriter(tempfile.mkdtemp()).flush()
        """
        self._open_writer().flush()

    def scalar(self, tag: str, value: Any, step: int) -> None:
        """Write a number.

        Args:
          tag: name of the curve.
          value: a number, or an array of one element.
          step: the training step.

        Example:
          >>> import tempfile
          >>> SummaryWriter(tempfile.mkdtemp()).scalar("loss", 0.5, step=1)
        """
        self._write_plugin(tag, np.float32(np.asarray(value).item()), step, "scalars")

    def image(self, tag: str, image: Any, step: int, max_outputs: int = 3) -> None:
        """Write one or more images.

        Args:
          tag: name of the images.
          image: an array of shape (height, width), (height, width, 1 or 3), (images, height, width) or (images,
            height, width, 1 or 3). Its values are uint8, or floating-point numbers from 0 to 1.
          step: the training step.
          max_outputs: the largest number of images that is written.

        Raises:
          ValueError: the shape or dtype is another one.

        Example:
          >>> import tempfile
          >>> SummaryWriter(tempfile.mkdtemp()).image("digit", np.zeros((8, 8)), step=1)
        """
        images = _as_pixels(np.asarray(image))
        pictures = [_png(pixels) for pixels in images[:max_outputs]]
        height, width = images.shape[1:3]
        texts = [str(width).encode(), str(height).encode(), *pictures]
        self._write_plugin(tag, np.array(texts, object), step, "images")

    def audio(
        self, tag: str, audiodata: Any, step: int, sample_rate: int = 44100, max_outputs: int = 3
    ) -> None:
        """Write one or more sounds.

        Args:
          tag: name of the sounds.
          audiodata: an array of shape (sounds, samples, channels), from -1 to 1. Other values are clipped.
          step: the training step.
          sample_rate: samples in a second.
          max_outputs: the largest number of sounds that is written.

        Raises:
          ValueError: the array does not have three axes.

        Example:
          >>> import tempfile
          >>> SummaryWriter(tempfile.mkdtemp()).audio("noise", np.zeros((1, 100, 1)), step=1)
        """
        sounds = np.clip(np.asarray(audiodata), -1, 1).astype(np.float32)
        if sounds.ndim != 3:
            msg = (
                f"Cannot write audio of shape {sounds.shape}: expected (sounds, samples, channels)."
            )
            raise ValueError(msg)
        waves = [[_wav(sound, sample_rate), b""] for sound in sounds[:max_outputs]]
        self._write_plugin(tag, np.array(waves, object).reshape(-1, 2), step, "audio", _WAV)

    def histogram(self, tag: str, values: Any, step: int, bins: int | None = None) -> None:
        """Write how values are distributed.

        Args:
          tag: name of the histogram.
          values: an array of any shape.
          step: the training step.
          bins: number of bins; 30 by default.

        Example:
          >>> import tempfile
          >>> SummaryWriter(tempfile.mkdtemp()).histogram("weights", np.arange(10), step=1)
        """
        table = _histogram(np.asarray(values, np.float64).reshape(-1), 30 if bins is None else bins)
        self._write_plugin(tag, table, step, "histograms")

    def text(self, tag: str, textdata: str | bytes, step: int) -> None:
        """Write a text, which TensorBoard renders as Markdown.

        Args:
          tag: name of the text.
          textdata: the text.
          step: the training step.

        Raises:
          ValueError: it is neither a str nor bytes.

        Example:
          >>> import tempfile
          >>> SummaryWriter(tempfile.mkdtemp()).text("note", "**done**", step=1)
        """
        if not isinstance(textdata, str | bytes):
            msg = f"Cannot write {type(textdata).__name__} as text: expected a str or bytes."
            raise ValueError(msg)
        encoded = textdata.encode() if isinstance(textdata, str) else textdata
        self._write_plugin(tag, np.array(encoded, object), step, "text")

    def write(self, tag: str, tensor: Any, step: int, metadata: Any = None) -> None:
        """Write an array, for a plugin of TensorBoard.

        Args:
          tag: name of the value.
          tensor: an array, a number, a str, or an array of str or bytes.
          step: the training step.
          metadata: a ``SummaryMetadata`` of TensorBoard, or its bytes.

        Raises:
          ValueError: the dtype is not one that TensorBoard knows.

        Example:
          >>> import tempfile
          >>> SummaryWriter(tempfile.mkdtemp()).write("matrix", np.eye(2), step=1)
        """
        messages = _of_extra("tensorboardX.proto.summary_pb2")
        encoded = metadata if isinstance(metadata, bytes | None) else metadata.SerializeToString()
        parsed = None if encoded is None else messages.SummaryMetadata.FromString(encoded)
        value = messages.Summary.Value(tag=tag, tensor=_tensor(tensor), metadata=parsed)
        writer = self._open_writer()
        event = _of_extra("tensorboardX.proto.event_pb2").Event
        summary = messages.Summary(value=[value])
        writer.write_event(event(wall_time=time.time(), step=int(step), summary=summary))
        if self._auto_flush:
            writer.flush()

    def hparams(self, hparams: Mapping[str, Any]) -> None:
        """Write hyperparameters.

        Args:
          hparams: their values by name. Names in nested dicts are joined by dots. Values that are neither numbers nor
            text are written as text.

        Example:
          >>> import tempfile
          >>> SummaryWriter(tempfile.mkdtemp()).hparams({"adam": {"lr": 0.1}, "layers": 3})
        """
        flat = _flat(hparams)
        messages = _of_extra("tensorboardX.proto.plugin_hparams_pb2")
        names = repr(sorted(flat.items()))
        start = messages.SessionStartInfo(
            group_name=hashlib.sha256(names.encode()).hexdigest(), start_time_secs=time.time()
        )
        for name, value in flat.items():
            kind = {bool: "bool", str: "string"}.get(type(value), "number")
            setattr(start.hparams[name], f"{kind}_value", value)
        data = messages.HParamsPluginData(session_start_info=start)
        tag = "_hparams_/session_start_info"
        nothing = np.zeros(0, np.float32)
        self._write_plugin(tag, nothing, 0, "hparams", data.SerializeToString())

    def _write_plugin(
        self, tag: str, tensor: Any, step: int, plugin: str, content: bytes = b""
    ) -> None:
        metadata = _of_extra("tensorboardX.proto.summary_pb2").SummaryMetadata()
        metadata.plugin_data.plugin_name = plugin
        metadata.plugin_data.content = content
        self.write(tag, tensor, step, metadata)

    def _open_writer(self) -> Any:
        if not self._close.alive:
            msg = f"Cannot write to {self._log_dir!r}: the writer is closed. Make another SummaryWriter."
            raise ValueError(msg)
        return self._events


def _of_extra(name: str) -> Any:
    """Import a module of tensorboardX or pillow."""
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        distribution = {"PIL": "pillow"}.get(package, package)
        msg = (
            f"Writing files for TensorBoard needs {distribution}, which is not installed. Run: "
            "pip install 'linen-summary[tensorboard]'"
        )
        raise ImportError(msg, name=package) from error


def _tensor(value: Any) -> Any:
    """Convert an array to a ``TensorProto``. Python's numbers have 32 bits, as in TensorFlow."""
    array = np.asarray(value)
    if not hasattr(value, "dtype") and array.dtype.kind in "if":
        array = array.astype(f"{array.dtype.kind}4")
    shapes = _of_extra("tensorboardX.proto.tensor_shape_pb2")
    sizes = [shapes.TensorShapeProto.Dim(size=size) for size in array.shape]
    options: dict[str, Any] = {"tensor_shape": shapes.TensorShapeProto(dim=sizes)}
    if array.dtype.kind in "OSU":
        texts = [x.encode() if isinstance(x, str) else bytes(x) for x in array.reshape(-1).tolist()]
        options |= {"dtype": _STRING, "string_val": texts}
    elif array.dtype.name in _DTYPES:
        options |= {"dtype": _DTYPES[array.dtype.name], "tensor_content": array.tobytes()}
    else:
        msg = f"Cannot write an array of {array.dtype} for TensorBoard. Convert it to one of: {', '.join(_DTYPES)}."
        raise ValueError(msg)
    return _of_extra("tensorboardX.proto.tensor_pb2").TensorProto(**options)


def _as_pixels(image: Any) -> Any:
    """Return uint8 colours of shape (images, height, width, 3)."""
    shape = image.shape
    if image.ndim == 3 and shape[-1] in {1, 3}:
        image = image[None]
    elif image.ndim == 3:
        image = image[..., None]
    elif image.ndim == 2:
        image = image[None, ..., None]
    if image.ndim != 4 or image.shape[-1] not in {1, 3}:
        msg = f"Cannot write an image of shape {shape}: expected (height, width), with one or three colours last."
        raise ValueError(msg)
    image = np.repeat(image, 3 // image.shape[-1], axis=-1)
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind == "f" or image.dtype.name == "bfloat16":
        return np.clip(image.astype(np.float32) * 255.5, 0, 255).astype(np.uint8)
    msg = f"Cannot write an image of {image.dtype}. Convert it to uint8, or to floating-point numbers from 0 to 1."
    raise ValueError(msg)


def _png(pixels: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    _of_extra("PIL.Image").fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return stream.getvalue()


def _wav(sound: np.ndarray[Any, Any], sample_rate: int) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.clip(np.round(sound * 32768), -32768, 32767).astype("<i2").tobytes())
    return stream.getvalue()


def _histogram(values: np.ndarray[Any, Any], bins: int) -> np.ndarray[Any, Any]:
    """Return the left edge, right edge and count of each bin, in an array of shape (bins, 3)."""
    if values.size == 0 or bins == 0:
        return np.zeros((bins, 3))
    if values.min() == values.max():
        table = np.full((bins, 3), [values[0], values[0], 0.0])
        table[-1, 2] = values.size
        return table
    counts, edges = np.histogram(values, bins)
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, bool | float | str]:
    flat: dict[str, bool | float | str] = {}
    for name, value in values.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, Mapping):
            flat |= _flat(plain, f"{prefix}{name}.")
        elif isinstance(plain, bool | str):
            flat[prefix + name] = plain
        elif isinstance(plain, int | float):
            flat[prefix + name] = float(plain)
        else:
            flat[prefix + name] = str(plain)
    return flat
