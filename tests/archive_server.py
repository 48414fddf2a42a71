"""A server on this machine that cuts, lies and refuses as it is told."""

import contextlib
import http.server
import threading
from dataclasses import replace

from tests.small_cifar import small

WHOLE = 10**9


class Server(http.server.ThreadingHTTPServer):
    """Serves ``body`` under any path.

    ``cuts`` says after how many bytes each of the next answers ends; ``statuses`` are sent
    instead of the next answers; ``ranges`` remembers what was asked for; nothing is answered
    while ``gate`` is clear.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.cuts, self.statuses, self.ranges = b"", [], [], []
        self.gate = threading.Event()
        self.gate.set()
        self.location, self.understands_ranges, self.says_length = "", True, True

    def archive(self):
        """A small CIFAR-10's archive, as if it were published here."""
        data = small()
        self.body = data.archives["binary"]
        url = f"http://127.0.0.1:{self.server_address[1]}/cifar-10-binary.tar.gz"
        return replace(data.published.binary, url=url)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.gate.wait(10)
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        if server.statuses:
            status = server.statuses.pop(0)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", server.location)
            self.end_headers()
            return
        start = 0
        if asked and server.understands_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        if server.says_length:
            self.send_header("Content-Length", str(len(server.body) - start))
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else WHOLE
        with contextlib.suppress(OSError):
            self.wfile.write(server.body[start : start + cut])


@contextlib.contextmanager
def running_server():
    """A server that answers until the block ends."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
