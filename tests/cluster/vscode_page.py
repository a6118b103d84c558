#!/usr/bin/env python3
"""What a browser first asks a VS Code server for: its page, the workbench's code, and the WebSocket
that everything else goes over. The standard library only.

    vscode_page.py PORT     prints the SHA-256 of the workbench's code, and `upgraded`
"""

import hashlib
import re
import socket
import sys
import urllib.request
import uuid

CODE = "out/vs/code/browser/workbench/workbench.js"  # eleven megabytes
LIMIT = 60  # seconds that anything may take


def get(port, path):
    with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=LIMIT) as answer:
        return answer.read()


def upgrade(port, path):
    """The first line of the answer to a WebSocket's handshake."""
    query = "reconnectionToken=%s&reconnection=false&skipWebSocketFrames=false" % uuid.uuid4()
    with socket.create_connection(("127.0.0.1", port), LIMIT) as web:
        web.sendall((
            "GET %s?%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            % (path, query, port)).encode())
        return web.makefile("rb").readline().decode().strip()


def main(port):
    page = get(port, "/").decode()
    if "vscode-workbench-web-configuration" not in page:
        raise RuntimeError("no page of VS Code's: %s" % page[:500])
    # stable-COMMIT/static/out/vs/...
    base = "/" + re.search(r'"\.?/?([a-z]+-[0-9a-f]+)/static/out/', page).group(1)
    content = get(port, "%s/static/%s" % (base, CODE))
    print(hashlib.sha256(content).hexdigest())
    answer = upgrade(port, base)
    if " 101 " not in answer + " ":
        raise RuntimeError("no WebSocket: %s" % answer)
    print("upgraded")


if __name__ == "__main__":
    main(int(sys.argv[1]))
