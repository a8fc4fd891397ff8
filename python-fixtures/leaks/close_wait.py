"""Sockets whose other end has closed and which nobody closes here: CLOSE_WAIT. Healthy: closed at the end of the data."""

import socket

import _leak


class Subscription:
    """A line to a server, and what came over it."""

    lines = []

    def __init__(self, port, close):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.received = self.socket.recv(100)
        if close:
            self.socket.close()
        Subscription.lines.append(self)


class Service:
    def __init__(self, given):
        self.healthy = given.healthy
        self.server = _leak.Server()

    def work(self, rounds):
        for _ in range(rounds):
            Subscription(self.server.closing, self.healthy)
        _leak.wait_until(lambda: all(state in ("CLOSE_WAIT", None) for _, state in self.states()), "the peer's end")

    def states(self):
        """Each socket with its state, None when it is closed."""
        closed = set()
        with open("/proc/self/net/tcp") as table:
            for line in list(table)[1:]:
                words = line.split()
                if words[3] == "08":
                    closed.add(int(words[1].split(":")[1], 16))
        for line in Subscription.lines:
            one = line.socket
            if one.fileno() < 0:
                yield one, None
            else:
                yield one, "CLOSE_WAIT" if one.getsockname()[1] in closed else "?"

    def tell(self, row):
        peer = "127.0.0.1:%d" % self.server.closing
        for one, state in self.states():
            fd = None if state is None else one.fileno()
            show = {"peer": None if state is None else peer, "tcp_state": state}
            row(one, "socket", "closed" if state is None else "open", {"fd": fd}, show)


if __name__ == "__main__":
    _leak.serve("close_wait", Service, rounds=30)
