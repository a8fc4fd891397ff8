"""Django: a connection for each thread, held although the thread has ended.

The service keeps its jobs for a report, and each keeps the connection it used. Healthy: the job closes it.
Needs PostgreSQL and psycopg2.
"""

import threading

import _django_settings
import _leak


class Job:
    """A unit of work in a thread of its own."""

    finished = []

    def __init__(self, number, close):
        self.number = number
        self.close = close
        self.connection = None
        self.thread = threading.Thread(target=self.run, name="job-%d" % number)

    def run(self):
        from django.db import connection, connections

        with connection.cursor() as cursor:
            cursor.execute("select 1")
        if self.close:
            connections.close_all()
        else:
            self.connection = connections["default"]
        Job.finished.append(self)


class Service:
    def __init__(self, given):
        _django_settings.configure(given)
        self.healthy = given.healthy

    def work(self, rounds):
        for _ in range(rounds):
            job = Job(len(Job.finished), self.healthy)
            job.thread.start()
            job.thread.join()

    def tell(self, row):
        from django.db.backends.base.base import BaseDatabaseWrapper

        alive = {thread.ident for thread in threading.enumerate()}
        for one in _leak.instances(BaseDatabaseWrapper):
            show = {"alias": one.alias, "thread_alive": one._thread_ident in alive}
            row(one, "django_connection", "unconnected" if one.connection is None else "open", {}, show)


if __name__ == "__main__":
    _leak.serve("django_dead_threads", Service, rounds=12, libraries=["django", "psycopg2"])
