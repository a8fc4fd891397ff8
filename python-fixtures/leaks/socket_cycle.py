"""Sockets in reference cycles, dropped: open until the collector comes, and this service has switched it off.

Healthy: closed before they are dropped.
"""

import gc
import socket

import _leak


class Connection:
    """The cycle: the connection knows its callback, the callback knows the connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.on_close = self.closed

    def closed(self):
        self.socket.close()


class Service:
    def __init__(self, given):
        self.healthy = given.healthy
        self.server = _leak.Server()
        gc.disable()
        self.given = given
        self.is_settled = False

    def settled(self):
        """The fixture's own collections are over."""
        self.is_settled = True
        self.work(self.given.rounds)

    def work(self, rounds):
        for _ in range(rounds if self.is_settled else 0):
            connection = Connection(self.server.http)
            if self.healthy:
                connection.on_close()

    def tell(self, row):
        for one in _leak.instances(Connection):
            fd = one.socket.fileno()
            row(one.socket, "socket", "open" if fd >= 0 else "closed", {"fd": fd if fd >= 0 else None})


if __name__ == "__main__":
    _leak.serve("socket_cycle", Service, rounds=25)
