"""A registry of images on this node that never gets done with one: half of its layer comes, and then
nothing. `registry.py PORT`; any name will do."""

import hashlib
import http.server
import json
import sys
import time

LAYER = b"\0" * 65536
CONFIG = json.dumps({
    "architecture": "amd64",
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(LAYER).hexdigest()]},
}).encode()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST = json.dumps({
    "schemaVersion": 2,
    "mediaType": MANIFEST_TYPE,
    "config": {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "size": len(CONFIG),
        "digest": digest(CONFIG),
    },
    "layers": [{
        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "size": len(LAYER),
        "digest": digest(LAYER),
    }],
}).encode()


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", digest(body))
        self.end_headers()

    def do_HEAD(self):
        self.answer(MANIFEST, MANIFEST_TYPE)

    def do_GET(self):
        if "/manifests/" in self.path:
            self.answer(MANIFEST, MANIFEST_TYPE)
            self.wfile.write(MANIFEST)
        elif self.path.endswith(digest(CONFIG)):
            self.answer(CONFIG, "application/octet-stream")
            self.wfile.write(CONFIG)
        elif self.path.endswith(digest(LAYER)):
            self.answer(LAYER, "application/octet-stream")
            self.wfile.write(LAYER[: len(LAYER) // 2])
            self.wfile.flush()
            time.sleep(600)
        else:
            self.answer(b"{}", "application/json")
            self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Registry).serve_forever()
