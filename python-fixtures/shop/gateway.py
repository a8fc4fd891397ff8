"""Connections to partners; a class-level list keeps every one."""

import socket


class Connection:
    def __init__(self, number):
        self.number = number
        self.near, self.far = socket.socketpair()


class Gateway:
    """Leak 1: `_live` is never emptied."""

    _live = []

    def open(self, number):
        connection = Connection(number)
        self._live.append(connection)
        return connection


class Healthy:
    """The same type, in use."""

    def __init__(self, count):
        self.current = {i: Connection(-i) for i in range(count)}
