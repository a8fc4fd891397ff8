"""What the benchmarks attach to: a heap of a given size and age, threads, and a ticker that sees every pause.

Commands: gap reset, gap read, fork, census, frames, ping.
"""

import argparse
import ctypes
import random
import resource
import socket
import threading

import _fixture


class Record:
    __slots__ = ("key", "value", "links")

    def __init__(self, key):
        self.key = key
        self.value = float(key)
        self.links = None


class Account:
    def __init__(self, number):
        self.number = number
        self.name = "account %d" % number


def heap(count):
    """`count` tracked objects: in ten, 3 records, 2 instances, 2 lists, 2 dicts with containers, 1 tuple."""
    made = []
    for number in range(count // 10):
        records = [Record(number), Record(number + 1), Record(number + 2)]
        first, second = Account(number), Account(number + 1)
        table = {"records": records, "account": first}
        made.append({"table": table, "pair": (records, second), "list": [table, number]})
    return made


def age(made):
    """Frees every other part in random order and makes it again, so that neighbours in lists are not in memory."""
    order = list(range(len(made)))
    random.Random(1).shuffle(order)
    for index in order[::2]:
        made[index] = None
    for index, fresh in zip(order[::2], heap(len(order[::2]) * 10)):
        made[index] = fresh


def connected(pairs):
    """Both ends of so many connections on loopback, and the listener."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, soft + 2 * pairs), hard))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    made = [listener]
    for _ in range(pairs):
        made.append(socket.create_connection(listener.getsockname()))
        made.append(listener.accept()[0])
    return made


def parked(gate, depth):
    if depth:
        parked(gate, depth - 1)
    else:
        gate.wait()


class Ticker:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        problem = self.library.ticker_start()
        if problem:
            raise OSError(problem, "the ticker's thread did not start")

    def command(self, action):
        if action == "reset":
            self.library.ticker_reset()
            return {"reset": True}
        room = 256
        gaps = (ctypes.c_uint64 * room)()
        count, total = ctypes.c_uint64(), ctypes.c_uint64()
        given = self.library.ticker_read(gaps, room, ctypes.byref(count), ctypes.byref(total))
        return {"gaps_ns": list(gaps[:given]), "ticks": count.value, "total_ns": total.value}

    def fork(self):
        self.library.bare_fork.restype = ctypes.c_uint64
        return {"ns": self.library.bare_fork()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=0)
    parser.add_argument("--aged", action="store_true")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--depth", type=int, default=20, help="calls on each thread's stack")
    parser.add_argument("--pad-mb", type=int, default=0, help="resident memory that holds no objects")
    parser.add_argument("--sockets", type=int, default=0, help="connected TCP sockets, two for each connection")
    parser.add_argument("--ticker", help="path of the built pause_ticker.so")
    options = parser.parse_args()

    made = heap(options.objects)
    if options.aged:
        age(made)
    pad = bytearray(options.pad_mb << 20)
    pad[::4096] = b"\x01" * len(range(0, len(pad), 4096))
    sockets = connected(options.sockets // 2)
    gate = threading.Event()
    threads = _fixture.start_threads(
        [("worker %d" % number, lambda: parked(gate, options.depth)) for number in range(options.threads)]
    )
    _fixture.wait_until(lambda: all(thread.native_id for thread in threads), "threads without an id")
    _fixture.wait_parked([thread.native_id for thread in threads])
    commands = {}
    if options.ticker:
        ticker = Ticker(options.ticker)
        commands["gap"] = ticker.command
        commands["fork"] = ticker.fork
    facts = {"objects": options.objects, "threads": options.threads, "pad_mb": options.pad_mb, "sockets": len(sockets)}
    _fixture.serve(facts, commands)


if __name__ == "__main__":
    main()
