"""The place where threads of stacks.py wait for ever."""

import threading

_never = threading.Lock()
_never.acquire()


def park():
    _never.acquire()
