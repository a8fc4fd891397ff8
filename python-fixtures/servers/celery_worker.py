"""A celery worker with a broker in memory. usage: celery_worker.py POOL CONCURRENCY

Prints READY when it works. Ends when it is killed.
"""

import json
import os
import sys

import _end
import celery
import celery.signals

application = celery.Celery("servers", broker="memory://app:hunter2@broker//")


@celery.signals.worker_ready.connect
def ready(**_):
    os.write(1, ("READY " + json.dumps({"pid": os.getpid(), "celery": celery.__version__}) + "\n").encode())


celery.signals.worker_process_init.connect(_end.with_parent)

if __name__ == "__main__":
    sys.__stdout__ = sys.stderr  # where the banner goes
    pool, concurrency = sys.argv[1:]
    options = ["--pool", pool, "--concurrency", concurrency, "--loglevel", "CRITICAL", "--without-mingle"]
    application.worker_main(["worker", "--without-gossip", "--without-heartbeat"] + options)
