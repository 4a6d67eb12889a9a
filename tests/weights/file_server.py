"""A file server for tests that misbehaves as told: it cuts off, ignores ranges, answers with errors or other bytes."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answers with the next of the server's answers, or with the file as it should."""

    server: FileServer
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        server = self.server
        server.requests.append((self.path, {name.title(): value for name, value in self.headers.items()}))
        answer = server.answers.popleft() if server.answers else server.always
        answer(self, server.content)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""

    def head(self, status: int, **headers: object) -> None:
        """Status and headers; underscores in their names are hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


class FileServer(ThreadingHTTPServer):
    """Serves one file at every path, on a free port of this machine."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.answers: deque[Answer] = deque()
        self.always: Answer = ranged
        self.requests: list[tuple[str, dict[str, str]]] = []

    def __enter__(self) -> FileServer:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is part of the tests."""

    def url(self, path: str = "/file.pth") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def ranges(self) -> list[str | None]:
        """What each request asked for."""
        return [headers.get("Range") for _, headers in self.requests]


def tag(content: bytes) -> str:
    return '"' + hashlib.sha256(content).hexdigest()[:16] + '"'


def whole(handler: Handler, content: bytes) -> None:
    """The file from its beginning, whatever was asked for."""
    handler.head(200, Content_Length=len(content), ETag=tag(content))
    handler.wfile.write(content)


def ranged(handler: Handler, content: bytes) -> None:
    """As a good server does: a part if one is asked for and the file is still the same."""
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if match is None or handler.headers.get("If-Range", tag(content)) != tag(content):
        return whole(handler, content)
    first = int(match[1])
    if first >= len(content):
        return handler.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
    rest = content[first:]
    place = f"bytes {first}-{len(content) - 1}/{len(content)}"
    handler.head(206, Content_Length=len(rest), Content_Range=place, ETag=tag(content))
    handler.wfile.write(rest)
    return None


def cut(after: int) -> Answer:
    """Promises the whole file, from its beginning, and ends after some bytes."""

    def answer(handler: Handler, content: bytes) -> None:
        handler.head(200, Content_Length=len(content), ETag=tag(content))
        handler.wfile.write(content[:after])

    return answer


def status(code: int) -> Answer:
    return lambda handler, _: handler.head(code, Content_Length=0)


def redirect(to: str) -> Answer:
    return lambda handler, _: handler.head(302, Location=to, Content_Length=0)


def page(handler: Handler, _: bytes) -> None:
    """A web page, with status 200 as such pages have."""
    text = b"<!doctype html><p>Sign in to download"
    handler.head(200, Content_Type="text/html; charset=utf-8", Content_Length=len(text))
    handler.wfile.write(text)


def other(content: bytes) -> Answer:
    """Another file than the one that is published."""
    return lambda handler, _: whole(handler, content)


def unmeasured(content: bytes) -> Answer:
    """Bytes without a length: the end of the connection is the end of the file."""

    def answer(handler: Handler, _: bytes) -> None:
        handler.head(200, ETag=tag(content))
        handler.wfile.write(content)

    return answer
