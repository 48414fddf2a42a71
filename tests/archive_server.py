"""A server on this machine that cuts, lies, trickles and refuses as it is told."""

import contextlib
import http.server
import threading
import time
from dataclasses import replace

from tests.small_cifar import small

WHOLE = 10**9


class Server(http.server.ThreadingHTTPServer):
    """Serves ``body`` under any path but those that end in a name in ``files``.

    ``cuts`` says after how many bytes each of the next answers ends; ``statuses`` are sent
    instead of the next answers; ``ranges`` remembers what was asked for; nothing is answered
    while ``gate`` is clear. With ``trickle`` so many bytes are sent every so many seconds; with
    ``length`` the server says that there are so many.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.cuts, self.statuses, self.ranges = b"", [], [], []
        self.files, self.trickle, self.content_type = {}, None, "application/octet-stream"
        self.gate = threading.Event()
        self.gate.set()
        self.length = None
        self.location, self.understands_ranges, self.says_length = "", True, True

    def url(self, name):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def archive(self):
        """A small CIFAR-10's archive, as if it were published here."""
        data = small()
        self.body = data.archives["binary"]
        return replace(data.published.binary, url=self.url("cifar-10-binary.tar.gz"))


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
        body = server.files.get(self.path.rpartition("/")[2], server.body)
        start = 0
        if asked and server.understands_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        if server.says_length:
            length = len(body) - start if server.length is None else server.length
            self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", server.content_type)
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else WHOLE
        with contextlib.suppress(OSError):
            self.write(body[start : start + cut])

    def write(self, sent):
        block, pause = self.server.trickle or (WHOLE, 0)
        for place in range(0, len(sent), block):
            self.wfile.write(sent[place : place + block])
            time.sleep(pause)


@contextlib.contextmanager
def running_server():
    """A server that answers until the block ends."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
