"""A store with sessions; callbacks of the audit capture them."""


class Session:
    def __init__(self, number):
        self.number = number
        self.identity = {i: ("row", number, i) for i in range(5)}


class Audit:
    def __init__(self):
        self.callbacks = []

    def record(self, session):
        """Leak 4: the closure keeps the session."""
        self.callbacks.append(lambda: session.number)


audit = Audit()


class Pool:
    def __init__(self, count):
        self.idle = [Session(-i) for i in range(count)]


pool = Pool(5)
