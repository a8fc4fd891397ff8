"""Connections that pile up in one place, later also in another, beside a pool that only changes its members.

`more N`: N more in the class-level list `Gateway.live`. `odd N`: N more in the global dict `ODD`. `renew`: the pool closes its
connections and opens as many. These and `counts` answer `{live, odd, pool, sockets}`: what is in each, and all sockets.
"""

import gc
import socket

import _fixture

POOL = 20


class Connection:
    def __init__(self):
        self.near, self.far = socket.socketpair()

    def close(self):
        self.near.close()
        self.far.close()


class Gateway:
    """The leak: connections are remembered for good."""

    live = []


class Pool:
    """Healthy: as many as ever."""

    def __init__(self):
        self.idle = [Connection() for _ in range(POOL)]

    def renew(self):
        for connection in self.idle:
            connection.close()
        self.idle = [Connection() for _ in range(POOL)]


ODD = {}


def counts():
    return {
        "live": len(Gateway.live),
        "odd": len(ODD),
        "pool": len(POOL_OF_ALL.idle),
        "sockets": sum(isinstance(one, socket.socket) for one in gc.get_objects()),
    }


def more(number):
    Gateway.live.extend(Connection() for _ in range(int(number)))
    gc.collect()  # what is young may still be garbage
    return counts()


def odd(number):
    for _ in range(int(number)):
        ODD[len(ODD)] = Connection()
    gc.collect()
    return counts()


def renew():
    POOL_OF_ALL.renew()
    return counts()


POOL_OF_ALL = Pool()

if __name__ == "__main__":
    more(30)
    gc.collect()
    _fixture.serve({}, {"counts": counts, "more": more, "odd": odd, "renew": renew})
