"""gunicorn's configuration file: two workers on a free port, and READY once both serve."""

import json
import multiprocessing
import os

import _end

bind = "127.0.0.1:0"
workers = 2
wsgi_app = "_application:application"
loglevel = "critical"
# Workers count themselves in; the last one speaks for the master, whose standard output it has.
_serving = multiprocessing.Value("i", 0)


def post_fork(master, worker):
    _end.with_parent()


def post_worker_init(worker):
    with _serving.get_lock():
        _serving.value += 1
        if _serving.value == workers:
            port = worker.sockets[0].getsockname()[1]
            os.write(1, ("READY " + json.dumps({"pid": os.getppid(), "port": port}) + "\n").encode())
