"""Objects in buckets (``s3://``, ``gs://``) and on web servers (``http://``, ``https://``), by way of tensorstore.

tensorstore finds the credentials, as its documentation of the drivers s3 and gcs describes. They never appear in an
error: an address is shown without user, password and query.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from linen_core.errors import StoreError
from linen_store.errors import RemoteFailedError, RemotePathError

if TYPE_CHECKING:
    import tensorstore as ts

__all__ = [
    "IN_WORK",
    "RemoteFolder",
    "failure_of",
    "is_remote",
    "remote_errors",
    "seconds_for",
    "split_address",
]

IN_WORK = "_LINEN_IN_WORK"
"""The name of an object in a checkpoint while it is uploaded or removed."""

# `pathlib` makes one slash of two.
_ADDRESS = re.compile(r"(s3|gs|https?):/{1,2}(?=[^/])", re.IGNORECASE)

_RETRIES = {"max_retries": 4, "initial_delay": "100ms", "max_delay": "2s"}
"""Requests that fail for a reason that may pass, such as status 503, are repeated."""

_PATIENCE = 60.0
_BYTES_PER_SECOND = 1 << 20
_SENT_AT_ONCE = 1 << 26
"""Bytes that are uploaded at the same time."""

_DETAILS = re.compile(r" \[(?=[\w -]+=|HTTP code)")
"""Where tensorstore begins to list details, such as the whole answer of the server."""
_CODE = re.compile(r"([A-Z_]+): (.*)", re.DOTALL)
_SECRETS = re.compile(r"(?<=://)[^/@\s]*@|\?[^\s\"'\]]*")


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is the address of a bucket or a web server.

    Example:
      >>> is_remote("s3://bucket/model"), is_remote("model")
      (True, False)
    """
    return isinstance(path, str | os.PathLike) and bool(_ADDRESS.match(os.fsdecode(path)))


def _parts_of(address: str | os.PathLike[str]) -> tuple[str, str, str, str]:
    """Return the scheme, the bucket or the name of the server, the path without slashes around it, and the query."""
    text = os.fsdecode(address)
    match = _ADDRESS.match(text)
    if match is None:
        raise RemotePathError(_without_secrets(text))
    scheme = match[1].lower()
    rest, query = text[match.end() :], ""
    if scheme.startswith("http"):
        rest, mark, query = rest.partition("?")
        query = mark + query
    place, _, key = rest.partition("/")
    return scheme, place, key.strip("/"), query


def split_address(address: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the address of the folder above, and the name in it.

    Example:
      >>> split_address("s3://bucket/run/model.npz")
      ('s3://bucket/run', 'model.npz')
    """
    scheme, place, key, query = _parts_of(address)
    above, _, name = key.rpartition("/")
    return f"{scheme}://{place}/{above}".rstrip("/") + query, name


class RemoteFolder:
    """The objects whose names start with an address and a slash.

    Args:
      address: the address.

    Raises:
      RemotePathError: the address has another scheme.

    Example:
      >>> folder = RemoteFolder("https://user:password@example.org/run?signature=3")
      >>> folder.address
      'https://example.org/run'
    """

    def __init__(self, address: str | os.PathLike[str]) -> None:
        self._parts = _parts_of(address)
        scheme, place, key, query = self._parts
        self.address = _without_secrets(f"{scheme}://{place}/{key}").rstrip("/")
        self.can_list = not scheme.startswith("http")
        self.retries = {f"{name}_request_retries": _RETRIES for name in ("s3", "gcs", "http")}
        """The entries of a context of tensorstore with which it repeats requests."""
        path = f"{key}/" if key else ""
        self.spec: dict[str, Any]
        if scheme == "s3":
            self.spec = {"driver": "s3", "bucket": place, "path": path, **_s3_options()}
        elif scheme == "gs":
            self.spec = {"driver": "gcs", "bucket": place, "path": path}
        else:
            self.spec = {"driver": "http", "base_url": f"{scheme}://{place}/{path}{query}"}
        self._opened: ts.KvStore | None = None

    def folder(self, name: str) -> RemoteFolder:
        """Return a folder below this one; this one for an empty name."""
        if not name:
            return self
        scheme, place, key, query = self._parts
        return RemoteFolder(f"{scheme}://{place}/{key}/{name}{query}")

    def of(self, name: str) -> str:
        """Return the address of an object, to be shown."""
        return f"{self.address}/{name}" if name else self.address

    @property
    def _objects(self) -> ts.KvStore:
        if self._opened is None:
            import tensorstore as ts

            context = ts.Context(self.retries)
            with remote_errors(self.address):
                self._opened = ts.KvStore.open(self.spec, context=context).result()
        return self._opened

    def names(self) -> list[str]:
        """List the names of all objects below the folder, sorted. Only buckets can list.

        Raises:
          RemoteFailedError: the request failed.
        """
        with remote_errors(self.address):
            return sorted(name.decode() for name in self._objects.list().result(timeout=_PATIENCE))

    def holds(self, name: str) -> bool:
        """Return whether an object exists in a bucket.

        Raises:
          RemoteFailedError: the request failed.
        """
        import tensorstore as ts

        only = ts.KvStore.KeyRange(name, name + "\0")
        with remote_errors(self.of(name)):
            return bool(self._objects.list(only).result(timeout=_PATIENCE))

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Read several objects at once; those that do not exist are left out.

        Raises:
          RemoteFailedError: a request failed.
        """
        futures = [self._objects.read(name) for name in names]
        found = {}
        for name, future in zip(names, futures, strict=True):
            with remote_errors(self.of(name)):
                result = future.result(timeout=_PATIENCE)
            if result.state == "value":
                found[name] = result.value
        return found

    def read_range(
        self, name: str, start: int, stop: int, leaf: Sequence[str] | None = None
    ) -> bytes:
        """Read some bytes of an object; ``leaf`` is named in errors.

        Raises:
          FileNotFoundError: the object does not exist.
          RemoteFailedError: the request failed.
        """
        with remote_errors(self.of(name), leaf=leaf):
            future = self._objects.read(name, byte_range=slice(start, stop))
            result = future.result(timeout=seconds_for(stop - start))
        if result.state != "value":
            raise FileNotFoundError(2, "No such object", self.of(name))
        return bytes(result.value)

    def write(self, name: str, data: bytes) -> None:
        """Write an object.

        Raises:
          RemoteFailedError: the request failed.
        """
        with remote_errors(self.of(name), "write"):
            self._objects.write(name, data).result(timeout=seconds_for(len(data)))

    def upload(self, files: Mapping[str, str]) -> None:
        """Write objects with the contents of files, several at once.

        Args:
          files: the file for each name of an object.

        Raises:
          RemoteFailedError: a request failed.
        """
        waiting: list[tuple[str, int, Any]] = []
        try:
            self._start_uploads(files, waiting)
            while waiting:
                self._finish(waiting.pop(0))
        finally:
            # After a failure, no other request may still write.
            for _, size, future in waiting:
                with contextlib.suppress(Exception):
                    future.result(timeout=seconds_for(size))

    def _start_uploads(self, files: Mapping[str, str], waiting: list[tuple[str, int, Any]]) -> None:
        for key, file in files.items():
            with open(file, "rb") as stream:
                data = stream.read()
            while waiting and sum(size for _, size, _ in waiting) + len(data) > _SENT_AT_ONCE:
                self._finish(waiting.pop(0))
            with remote_errors(self.of(key), "write"):
                waiting.append((key, len(data), self._objects.write(key, data)))

    def _finish(self, one: tuple[str, int, Any]) -> None:
        name, size, future = one
        with remote_errors(self.of(name), "write"):
            future.result(timeout=seconds_for(size))

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, several at once.

        Raises:
          RemoteFailedError: a request failed.
        """
        with remote_errors(self.address, "delete"):
            for future in [self._objects.write(name, None) for name in names]:
                future.result(timeout=_PATIENCE)


def _s3_options() -> dict[str, Any]:
    """Return the options that AWS's own programs take from the environment, and tensorstore does not."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    options: dict[str, Any] = {}
    if endpoint:
        options = {"endpoint": endpoint, "aws_region": region or "us-east-1"}
    elif region:
        options = {"aws_region": region}
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        options["aws_credentials"] = {"type": "environment"}
    return options


def seconds_for(size: int) -> float:
    """Return the seconds after which a request of so many bytes has failed: a minute, and a second per MiB.

    Example:
      >>> seconds_for(1 << 21)
      62.0
    """
    return _PATIENCE + size / _BYTES_PER_SECOND


def _without_secrets(text: str) -> str:
    """Remove users, passwords and queries, which may be signatures, from addresses in a text."""
    return _SECRETS.sub("", text)


@contextlib.contextmanager
def remote_errors(
    address: str, action: str = "read", leaf: Sequence[str] | None = None
) -> Iterator[None]:
    """Report errors of tensorstore as failed requests.

    Args:
      address: the address of the object.
      action: ``"read"``, ``"write"`` or ``"delete"``.
      leaf: names of the leaf that is read.

    Raises:
      RemoteFailedError: the block raised an error of tensorstore.
    """
    try:
        yield
    except StoreError:
        raise
    except (ValueError, RuntimeError, NotImplementedError, TimeoutError) as error:
        # The cause repeats the address with its secrets.
        raise RemoteFailedError(address, action, *failure_of(error), leaf) from None


def failure_of(error: BaseException) -> tuple[str, str]:
    """Return the code and the reason of an error of tensorstore.

    Example:
      >>> failure_of(ValueError("NOT_FOUND: no bucket [source locations='...']"))
      ('NOT_FOUND', 'no bucket')
    """
    if isinstance(error, TimeoutError):
        return "TIMEOUT", "no answer came"
    text = _without_secrets(str(error))
    match = _CODE.match(text)
    code, reason = (match[1], match[2]) if match else ("UNKNOWN", text)
    return code, " ".join(_DETAILS.split(reason)[0].split())[:300]
