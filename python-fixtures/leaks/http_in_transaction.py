"""Django: an HTTP request inside `transaction.atomic()`: the database connection is held while the other side thinks.

Healthy: the answer first, then the transaction. Needs PostgreSQL and psycopg2.
"""

import threading
import urllib.request

import _django_settings
import _leak


class Service:
    def __init__(self, given):
        _django_settings.configure(given)
        self.healthy = given.healthy
        self.server = _leak.Server()
        self.threads = []
        self.held_up = []

    def place_order(self):
        from django.db import connection, transaction

        if self.healthy:
            self.ask_for_payment("/quick")
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("select 1")
            if not self.healthy:
                self.ask_for_payment("/slow")
        connection.close()
        if self.healthy:
            self.ask_for_payment("/slow")

    def ask_for_payment(self, path):
        if path == "/slow":
            self.held_up.append(threading.get_ident())
        with urllib.request.urlopen(self.server.url + path) as answer:
            return answer.read()

    def work(self, rounds):
        fresh = _leak.start_threads([("request-%d" % number, self.place_order) for number in range(rounds)])
        self.threads += fresh
        # A thread rests as well while the database thinks.
        _leak.wait_until(lambda: len(self.held_up) == len(self.threads), "not all wait for the payment")
        _leak.wait_parked([thread.native_id for thread in fresh])

    def tell(self, row):
        from django.db.backends.base.base import BaseDatabaseWrapper

        for one in _leak.instances(BaseDatabaseWrapper):
            state = "unconnected" if one.connection is None else "in_transaction" if one.in_atomic_block else "open"
            row(one, "django_connection", state, {}, {"thread_alive": True})


if __name__ == "__main__":
    _leak.serve("http_in_transaction", Service, rounds=4, libraries=["django", "psycopg2"])
