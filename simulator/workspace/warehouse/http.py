"""The warehouse's own HTTP and HTTPS servers on loopback. A reply leaves in a single send."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

_LONGEST: Final = 64 * 2**20  # bytes of a request


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply of HTTP."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Answering = Callable[[str, Mapping[str, str], bytes], Answer | None]
"""Path, headers and body to a reply; None drops the connection."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, answer: Answering, certificate: tuple[Path, Path] | None) -> None:
        self.answer = answer
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        super().__init__(("127.0.0.1", port), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a slow handshake holds nobody else."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        try:
            request.settimeout(10.0)
            secured = self._tls.wrap_socket(request, server_side=True)
        except OSError:
            return  # a client that does not trust us, or one that is no TLS client
        with secured:
            secured.settimeout(None)
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours; everything else is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError | ssl.SSLError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self._reply()

    def do_GET(self) -> None:
        self._reply()

    def _reply(self) -> None:
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= _LONGEST:
            self._send(Answer(413, {}, b"the request is too long"))
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if self.command != "POST":
            self._send(Answer(405, {"Allow": "POST"}, b"a SQL warehouse takes POST alone"))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.answer(self.path, headers, body)
        if answer is None:
            self.close_connection = True
            with contextlib.suppress(OSError):  # gone already
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        phrase = self.responses.get(answer.status, ("",))[0]
        lines = [f"HTTP/1.1 {answer.status} {phrase}", f"Content-Length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the list of statements tells what came."""


@contextmanager
def serve(port: int, answer: Answering, certificate: tuple[Path, Path] | None = None) -> Iterator[int]:
    """Listen until the block ends; gives the port. Raises ``OSError`` when it is taken."""
    server = _Server(port, answer, certificate)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="warehouse-http", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5.0)
