"""Servers of buckets and of web pages on this machine, which count requests, answer late, or fail."""

import json
import pathlib
import socket
import threading
import time
import urllib.parse
import urllib.request
import uuid

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.http import parse_range_header
from werkzeug.serving import WSGIRequestHandler, make_server

from linen_store.filesystem import remote


class _Quiet(WSGIRequestHandler):
    def log(self, *arguments, **options):
        """Keep the output of tests free of requests."""


class Server:
    """A server around an application of WSGI.

    Attributes:
      requests: the method, path and range of each request so far.
      sent: the bytes of the answers so far.
      latency: the seconds before each answer.
      fault: called with the number of each request and its text; returns None, ``"503"``, ``"reset"``,
        ``"truncated"`` or ``"slow"``.
    """

    def __init__(self, application):
        self._application = application
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._lock = threading.Lock()
        self.forget()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def forget(self):
        """Forget the requests, and answer correctly and at once."""
        self.requests, self.sent, self.latency, self.fault = [], 0, 0.0, lambda _number, _text: None

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ, start_response):
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        text = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{query} {environ.get('HTTP_RANGE', '')}".rstrip()
        with self._lock:
            number = len(self.requests)
            self.requests.append(text)
        time.sleep(self.latency)
        fault = self.fault(number, text)
        if fault == "503":
            start_response("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]
        if fault == "reset":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return [b""]
        if fault == "slow":
            time.sleep(3)
        answer = []
        body = b"".join(self._application(environ, lambda *given: answer.extend(given[:2])))
        with self._lock:
            self.sent += len(body)
        if fault == "truncated":
            answer[1] = [
                *((k, v) for k, v in answer[1] if k.lower() != "content-length"),
                ("Content-Length", str(len(body))),
            ]
            start_response(*answer)
            return _cut_short(body, environ["werkzeug.socket"])
        start_response(*answer)
        return [body]


def _cut_short(body, connection):
    yield body[: len(body) // 2]
    connection.shutdown(socket.SHUT_RDWR)


def _bucket_application():
    return DomainDispatcherApplication(create_backend_app)


@pytest.fixture(scope="session")
def s3_server():
    server = Server(_bucket_application())
    yield server
    server.stop()


@pytest.fixture
def quick_retries(monkeypatch):
    """Failed requests are repeated at once."""
    retries = {**remote._RETRIES, "initial_delay": "1ms", "max_delay": "2ms"}
    monkeypatch.setattr(remote, "_RETRIES", retries)


@pytest.fixture
def s3(s3_server, monkeypatch, quick_retries):
    """The S3 server, whose bucket is called ``bucket``; `address()` returns a new address in it."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server.address,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "the-user",
        "AWS_SECRET_ACCESS_KEY": "the-secret",
    }.items():
        monkeypatch.setenv(name, value)
    _put(s3_server, "/bucket")
    s3_server.forget()
    yield s3_server
    s3_server.forget()


def _put(server, path):
    with urllib.request.urlopen(urllib.request.Request(server.address + path, method="PUT")):
        pass


@pytest.fixture
def address(s3):
    """A new address in the bucket."""
    return f"s3://bucket/{uuid.uuid4().hex}"


@pytest.fixture
def upload():
    """A function that copies a file or folder to an address."""

    def copy(path, where):
        path = pathlib.Path(path)
        if path.is_file():
            above, name = remote.split_address(where)
            remote.RemoteFolder(above).upload({name: str(path)})
            return
        files = {str(one.relative_to(path)): str(one) for one in path.rglob("*") if one.is_file()}
        remote.RemoteFolder(where).upload(files)

    return copy


class _Files:
    """An application that serves the files of a folder, with ranges or without."""

    def __init__(self, folder, *, ranges):
        self._folder, self._ranges = folder, ranges

    def __call__(self, environ, start_response):
        file = self._folder / environ["PATH_INFO"].lstrip("/")
        if not file.is_file():
            return _answer(start_response, "404 Not Found")
        text = environ.get("HTTP_RANGE") if self._ranges else None
        return _answer_part(start_response, file.read_bytes(), text)


@pytest.fixture(params=[True, False], ids=["ranges", "whole"])
def web(request, tmp_path, quick_retries):
    """A web server of the folder ``web``, with ranges of bytes or without."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = Server(_Files(folder, ranges=request.param))
    server.folder, server.has_ranges = folder, request.param
    yield server
    server.stop()


class _GoogleStorage:
    """An application with the JSON interface of the service: objects are read, written, listed and deleted."""

    def __init__(self):
        self._objects = {}

    def __call__(self, environ, start_response):
        query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"]))
        _, _, name = environ["PATH_INFO"].partition("/o/")
        if environ.get("HTTP_AUTHORIZATION") != "Bearer the-token":
            return _answer(start_response, "403 Forbidden")
        if environ["REQUEST_METHOD"] == "POST":
            size = int(environ.get("CONTENT_LENGTH") or 0)
            self._objects[query["name"]] = environ["wsgi.input"].read(size)
            return _answer(start_response, "200 OK", json.dumps(_described(query["name"])).encode())
        if not name:
            start, stop = query.get("startOffset", ""), query.get("endOffset", "\U0010ffff")
            names = [one for one in sorted(self._objects) if start <= one < stop]
            items = json.dumps({"items": list(map(_described, names))})
            return _answer(start_response, "200 OK", items.encode())
        if name not in self._objects:
            return _answer(start_response, "404 Not Found")
        if environ["REQUEST_METHOD"] == "DELETE":
            del self._objects[name]
            return _answer(start_response, "204 No Content")
        headers = [("x-goog-generation", "1")]
        return _answer_part(start_response, self._objects[name], environ.get("HTTP_RANGE"), headers)


def _described(name):
    return {"name": name, "generation": "1"}


def _answer(start_response, status, body=b"", headers=()):
    start_response(status, [*headers, ("Content-Length", str(len(body)))])
    return [body]


def _answer_part(start_response, body, text, headers=()):
    """Answer with the range of bytes that a header asks for; with the whole body if there is none."""
    found = parse_range_header(text)
    if found is None:
        return _answer(start_response, "200 OK", body, headers)
    start, stop = found.range_for_length(len(body)) or (0, 0)
    shown = ("Content-Range", f"bytes {start}-{stop - 1}/{len(body)}")
    return _answer(start_response, "206 Partial Content", body[start:stop], [*headers, shown])


@pytest.fixture
def google(monkeypatch, quick_retries):
    """The server, whose only bucket is called ``bucket``."""
    server = Server(_GoogleStorage())
    monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", server.address)
    monkeypatch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "the-token")
    yield server
    server.stop()
