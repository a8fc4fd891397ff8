"""The other end of the leak scenarios: prints {"http": PORT, "closing": PORT} and serves until standard input ends.

HTTP keeps connections; /slow never answers. The other port takes a connection, sends a few bytes and hangs up.
"""

import http.server
import json
import os
import socketserver
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/slow"):
            threading.Event().wait()
        body = b"x" * (10_000_000 if self.path.startswith("/large") else 10)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, *arguments):
        pass


class Closing(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"goodbye\n")


class Threading(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 1000


def start(handler):
    server = Threading(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    print(json.dumps({"http": start(Handler), "closing": start(Closing)}), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
