"""A server whose connections come and go all the time, beside some that stay.

Commands: counts, ping.
"""

import ctypes
import os
import signal
import socket
import sys
import time

import _fixture

STAYING = 20


def visit(address):
    """In a child: connects, asks, is answered, leaves."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    while True:
        with socket.create_connection(address) as one:
            one.sendall(b"x")
            one.recv(1)


def main():
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(100)
    staying = []
    for _ in range(STAYING):
        client = socket.create_connection(server.getsockname())
        staying += [client, server.accept()[0]]
    for _ in range(2):
        if os.fork() == 0:
            try:
                visit(server.getsockname())
            finally:
                os._exit(1)
    counts = {"served": 0}

    def serve():
        while True:
            one, _ = server.accept()
            one.recv(1)
            one.sendall(b"y")
            one.close()
            counts["served"] += 1

    def come_and_go():
        while True:
            pair = socket.socketpair()
            files = [socket.socket() for _ in range(10)]
            for one in files + list(pair):
                one.close()
            time.sleep(0)

    _fixture.start_threads([("server", serve), ("visitor", come_and_go)])
    _fixture.wait_until(lambda: counts["served"] > 10, "visitors")
    _fixture.ready({"staying": [one.fileno() for one in staying], "serving": {}})
    for line in sys.stdin.buffer:
        _fixture._write_line('{"served": %d}' % counts["served"])
    os._exit(0)


if __name__ == "__main__":
    main()
