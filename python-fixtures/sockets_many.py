"""Many connected sockets, as many as RLIMIT_NOFILE lets one process have.

`--pairs N`: N connections within this process, two sockets each. `--strangers N`: as many again in each of N children, which
end with this process, so that the kernel's tables hold more than ours.

Commands: ping.
"""

import argparse
import ctypes
import os
import resource
import signal
import socket
import sys
import time

import _fixture

IP_BIND_ADDRESS_NO_PORT = 24


def connect(number, pairs):
    """Each process has loopback addresses of its own, and so all ports."""
    host = "127.%d.%d.1" % (number + 1, os.getpid() % 250 + 1)
    server = socket.socket()
    server.bind((host, 0))
    server.listen(1024)
    kept = [server]
    for _ in range(pairs):
        client = socket.socket()
        client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        client.bind((host, 0))
        client.connect(server.getsockname())
        kept += [client, server.accept()[0]]
    return kept


def child(number, pairs, ready):
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    kept = connect(number, pairs)
    os.write(ready, b"x")
    while kept:
        time.sleep(1000)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--strangers", type=int, default=0)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pairs = options.pairs or (min(hard, 1 << 20) - 64) // 2
    read, write = os.pipe()
    for number in range(options.strangers):
        if os.fork() == 0:
            try:
                child(number + 1, pairs, write)
            finally:
                os._exit(1)
    os.close(write)
    kept = connect(0, pairs)
    for _ in range(options.strangers):
        if os.read(read, 1) != b"x":
            sys.exit("a child failed")
    os.close(read)
    _fixture.serve({"sockets": len(kept), "limit": hard}, {})


if __name__ == "__main__":
    main()
