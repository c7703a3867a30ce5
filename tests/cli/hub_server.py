"""A hub on this machine with one repository, that breaks off or damages what it is told to."""

import hashlib
import json
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "c0ffee" + 34 * "0"


class HubServer:
    """`files` are those of the repository; `asked` has every download, with its range."""

    def __init__(self, repository, files):
        self.repository = repository
        self.files = files
        self.asked = []
        self.break_off = defaultdict(int)
        """Name -> how many downloads of it end in the middle."""
        self.damage = defaultdict(int)
        """Name -> how many downloads of it have a wrong byte."""
        self.fail = defaultdict(int)
        """Name -> how many downloads of it are answered with an error."""

    def tree(self):
        return [
            {
                "type": "file",
                "path": name,
                "size": len(content),
                "oid": git_name(content),
                **({"lfs": lfs(content)} if is_large(name) else {}),
            }
            for name, content in self.files.items()
        ]

    def info(self):
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                "blobId": git_name(content),
                **({"lfs": lfs(content)} if is_large(name) else {}),
            }
            for name, content in self.files.items()
        ]
        return {"id": self.repository, "sha": COMMIT, "siblings": siblings}


def is_large(name):
    """Whether a file is kept outside of git, as the hub does with all that is large."""
    return not name.endswith(".json")


def git_name(content):
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def lfs(content):
    digest = hashlib.sha256(content).hexdigest()
    return {"oid": digest, "sha256": digest, "size": len(content), "pointerSize": 130}


def handler(hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body):
            path = self.path.split("?")[0]
            if path.startswith("/api/"):
                found = hub.tree() if "/tree/" in path else hub.info()
                self.send(json.dumps(found).encode(), {"Content-Type": "application/json"}, body)
                return
            name = path.split(f"/resolve/{COMMIT}/")[-1]
            content = hub.files[name]
            etag = lfs(content)["oid"] if is_large(name) else git_name(content)
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
            if body:
                hub.asked.append((name, self.headers.get("Range")))
            if body and hub.fail[name]:
                hub.fail[name] -= 1
                self.send_error(500)
                return
            self.send(content, headers, body, name)

        def send(self, content, headers, body, name=""):
            start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
            part = content[start:]
            self.send_response(206 if start else 200)
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            for key, value in {**headers, "Content-Length": str(len(part))}.items():
                self.send_header(key, value)
            self.end_headers()
            if not body:
                return
            if hub.damage[name]:
                hub.damage[name] -= 1
                part = bytes([part[0] ^ 1]) + part[1:]
            if hub.break_off[name]:
                hub.break_off[name] -= 1
                part = part[: len(part) // 2]
                self.close_connection = True
            self.wfile.write(part)

        def log_message(self, *_):
            pass

    return Handler


@contextmanager
def serving(hub):
    """The address of a hub that runs as long as the context."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
