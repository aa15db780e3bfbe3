"""What did somebody outside receive? A local receiver of webhooks, and one of mail."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Where it listens, what came, and what it answers next (200 unless told otherwise)."""

    url: str = ""
    got: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    wait: Callable[[], None] = lambda: None
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A web server on this machine that writes down what it gets."""
    log = Receiver()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            log.got.append(Received(self.path, dict(self.headers.items()), body))
            log.wait()
            self.send_response(log.answers.pop(0) if log.answers else 200)
            for name, value in log.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    log.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield log
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class MailBox:
    """Which port takes mail, and which mails came?"""

    port: int = 0
    mails: list[Message] = field(default_factory=list)


@contextmanager
def mail_box() -> Iterator[MailBox]:
    """A mail server on this machine: just enough SMTP to take a mail."""
    box = MailBox()

    class Door(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say(220)
            while line := self.rfile.readline():
                verb = line.split(b" ")[0].strip().upper()
                if verb == b"DATA":
                    self._say(354)
                    lines = []
                    while (part := self.rfile.readline()).rstrip(b"\r\n") != b".":
                        lines.append(part[1:] if part.startswith(b"..") else part)
                    box.mails.append(message_from_bytes(b"".join(lines)))
                    self._say(250)
                elif verb == b"QUIT":
                    self._say(221)
                    return
                else:
                    self._say(250)

        def _say(self, code: int) -> None:
            self.wfile.write(f"{code} ok\r\n".encode())

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    box.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield box
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
