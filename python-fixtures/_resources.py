"""What the fixtures of resources share: rows of what each object is, by its library's own counters."""

import gc
import os
import threading
import time

import _fixture


class Rows:
    """Objects with a function that tells the truth about each; kept alive here."""

    def __init__(self):
        self._made = []

    def add(self, one, kind, tell, only_tracked=False):
        """`tell(one)` gives (state, metrics, shown); a metric that it does not have is None there."""
        if only_tracked and not gc.is_tracked(one):
            return one
        self._made.append((one, kind, tell))
        return one

    def tell(self):
        rows = []
        for one, kind, tell in self._made:
            state, metrics, show = tell(one)
            rows.append({"address": hex(id(one)), "kind": kind, "state": state, "metrics": metrics, "show": show})
        return {"rows": rows}


def end_with_parent(parent=None):
    """In a child process: a thread that ends it when its parent is gone."""
    parent = parent or os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(0.1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def serve(rows, facts=None, commands=None):
    known = {"resources": rows.tell}
    known.update(commands or {})
    _fixture.serve(facts or {}, known)
