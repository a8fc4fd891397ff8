"""Threads that wait for ever in many kinds of places, so that what `frames` answers stays true.

Commands: frames, census, ping. READY's facts are described in tests/README.md.
"""

import argparse
import asyncio
import builtins
import functools
import os
import select
import socket
import sys
import threading
import time

import _fixture
from _parking import park

KEPT = []


def recursion(depth):
    if depth == 0:
        park()
    recursion(depth - 1)


def inner_generator():
    yield 1
    park()
    yield 2


def outer_generator():
    yield from inner_generator()


def in_generator():
    for _ in outer_generator():
        pass


def in_comprehension():
    return [[(lambda: park())() for _ in range(1)] for _ in {0: 1 for _ in range(1)}]


def in_generator_expression():
    return sum(park() for _ in range(1))


def in_sort_key():
    def key(value):
        if value == 2:
            park()
        return value

    return sorted([3, 2, 1], key=key)


def decorated_with(text):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            KEPT.append(text)
            return function(*args, **kwargs)

        return wrapper

    return decorate


@decorated_with("one")
@decorated_with("two")
def in_decorated():
    park()


EXEC_SOURCE = """
def made_by_exec(park):
    class AlsoMade:
        def method(self):
            park()
    AlsoMade().method()

made_by_exec(park)
"""


def in_exec():
    exec(compile(EXEC_SOURCE, "<generated code>", "exec"), {"park": park, "__name__": "generated"})


def in_far_exec():
    """A line number beyond 16 bits, reached by a jump that no line table entry holds at once."""
    source = "def far():" + "\n" * 70000 + "    park()\n\n\nfar()\n"
    exec(compile(source, "<far>", "exec"), {"park": park})


async def innermost_coroutine():
    park()


async def middle_coroutine():
    return await innermost_coroutine()


async def outermost_coroutine():
    async for _ in async_generator():
        return await middle_coroutine()


async def async_generator():
    yield 1


def in_coroutines():
    try:
        outermost_coroutine().send(None)
    except StopIteration:
        pass


async def sleeping_coroutine():
    await asyncio.Event().wait()


def in_event_loop():
    """The coroutine is suspended; what is on the stack is the loop."""
    asyncio.run(sleeping_coroutine())


class Container:
    def __getitem__(self, item):
        return self + item

    def __add__(self, other):
        with self:
            return other

    def __enter__(self):
        return self.prop

    def __exit__(self, *exc):
        return False

    @property
    def prop(self):
        return Container.static(self)

    @staticmethod
    def static(one):
        return type(one).clsmethod()

    @classmethod
    def clsmethod(cls):
        return cls()(1)

    def __call__(self, value):
        return list(map(functools.partial(self.mapped, value), [1]))

    def mapped(self, value, other):
        Finalized()
        return other


class Finalized:
    def __del__(self):
        park()


def in_special_methods():
    return Container()[1]


def in_finalizer():
    one = Finalized()
    del one


def in_class_body():
    class Unfinished:
        class EvenLess:
            park()


def in_import():
    import _parks_on_import  # noqa: F401


def in_multi_line_call():
    return functools.reduce(
        lambda first, second: (
            first
            +
            second(
                1,
            )
        ),
        [
            1,
            lambda value: max(
                value,
                park()
            ),
        ],
    )


def in_except_and_finally():
    try:
        try:
            raise ValueError("expected")
        except ValueError:
            KEPT.append(1)
        finally:
            park()
    finally:
        KEPT.append(2)


def in_sleep():
    time.sleep(10**6)


def in_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def in_condition():
    condition = threading.Condition()
    with condition:
        condition.wait()


def in_select():
    reader, writer = os.pipe()
    select.select([reader], [], [])


def in_accept():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.accept()


def in_read():
    reader, writer = os.pipe()
    os.read(reader, 1)


class Rich:
    def __init__(self):
        self.attribute = "not shown unless asked"

    def __repr__(self):
        raise RuntimeError("nobody may run code of ours")


class SlottedRich:
    __slots__ = ("only",)

    def __init__(self):
        self.only = 1


FrozenDict = getattr(builtins, "frozendict", dict)  # a builtin since 3.15

# Values of the locals of `locals_of_many_kinds`, as repr() shows them. The others are in tests/README.md.
LOCAL_VALUES = {
    "none": None,
    "true": True,
    "false": False,
    "ellipsis": ...,
    "zero": 0,
    "small": 7,
    "negative": -5,
    "digit_edge": 2**30,
    "big": 2**64 + 1,
    "huge_negative": -(10**40),
    "floating": 2.5,
    "infinite": float("inf"),
    "large_float": 1e16,
    "larger_float": -1.5e300,
    "small_float": 1.5e-07,
    "whole_float": 123456789012345.0,
    "not_a_number": float("nan"),
    "complex_number": 1 + 2j,
    "ascii": "plain text",
    "latin": "caf\u00e9",
    "chinese": "\u4e2d\u6587",
    "emoji": "\U0001f600 ok",
    "quotes": "both ' and \"",
    "quote": "it's",
    "back": "\\u0041 \\",
    "no_set": set(),
    "no_frozen": frozenset(),
    "no_mapping": {},
    "no_frozen_mapping": FrozenDict(),
    "empty": "",
    "escape": "\x1b[31mred\x1b[0m\n\ttab",
    "surrogate": "\ud800",
    "long_text": "x" * 5000,
    "data": b"\x00bytes\xff",
    "empty_tuple": (),
    "pair": (1, "two"),
    "numbers": [1, 2, 3],
    "nested": [[1, [2, [3, [4]]]]],
    "mapping": {"key": "value", 2: None},
    "frozen_mapping": FrozenDict({"key": "value", 2: None}),
    "numbers_set": {5},
    "frozen": frozenset({6}),
    "many": list(range(1000)),
    "interval": range(3),
}


def locals_of_many_kinds(argument, *args, keyword=1, **kwargs):
    none, true, false, ellipsis = None, True, False, ...
    zero, small, negative, digit_edge, big, huge_negative = 0, 7, -5, 2**30, 2**64 + 1, -(10**40)
    floating, infinite, complex_number = 2.5, float("inf"), 1 + 2j
    large_float, larger_float, small_float, whole_float = 1e16, -1.5e300, 1.5e-07, 123456789012345.0
    not_a_number = float("nan")
    quotes, quote, back = "both ' and \"", "it's", "\\u0041 \\"
    no_set, no_frozen, no_mapping, no_frozen_mapping = set(), frozenset(), {}, FrozenDict()
    ascii, latin, chinese, emoji = "plain text", "caf\u00e9", "\u4e2d\u6587", "\U0001f600 ok"
    empty, escape, surrogate, long_text = "", "\x1b[31mred\x1b[0m\n\ttab", "\ud800", "x" * 5000
    data, empty_tuple, pair, numbers = b"\x00bytes\xff", (), (1, "two"), [1, 2, 3]
    nested, mapping, numbers_set, frozen = [[1, [2, [3, [4]]]]], {"key": "value", 2: None}, {5}, frozenset({6})
    frozen_mapping = FrozenDict({"key": "value", 2: None})
    many, interval = list(range(1000)), range(3)
    recursive = []
    recursive.append(recursive)
    rich, slotted, a_class, function, module = Rich(), SlottedRich(), Rich, in_lock, os
    captured = "in a cell"
    password = "hunter2-do-not-show"
    api_token = "tok-do-not-show"
    dsn = "postgresql://scott:tiger-do-not-show@db.example/app"
    config = {"user": "scott", "password": "inner-do-not-show"}
    nested_config = [{"api_key": {"value": "deep-do-not-show"}}, ("Authorization: Bearer bearer-do-not-show",)]
    frozen_config = FrozenDict({"token": "frozen-do-not-show", b"password": b"bytes-do-not-show"})
    变量 = "a name that is not ASCII"
    if argument is None:
        unset = 1

    def closure():
        mine = captured
        park()
        return mine

    closure()
    return locals(), unset


def in_locals():
    locals_of_many_kinds("first", "second", keyword="third", fourth="fifth")


SECRETS = [kind + "-do-not-show" for kind in "hunter2 tok tiger inner deep bearer frozen bytes".split()]

PLACES = [
    ("recursion", lambda: recursion(30)),
    ("generator", in_generator),
    ("comprehension", in_comprehension),
    ("generator expression", in_generator_expression),
    ("sort key", in_sort_key),
    ("decorated", in_decorated),
    ("exec", in_exec),
    ("far exec", in_far_exec),
    ("coroutines", in_coroutines),
    ("event loop", in_event_loop),
    ("special methods", in_special_methods),
    ("finalizer", in_finalizer),
    ("class body", in_class_body),
    ("import", in_import),
    ("multi-line call", in_multi_line_call),
    ("except and finally", in_except_and_finally),
    ("sleep", in_sleep),
    ("lock", in_lock),
    ("condition", in_condition),
    ("select", in_select),
    ("accept", in_accept),
    ("read", in_read),
    ("locals", in_locals),
    ("\u00dcberwachung \u76d1\u63a7", in_lock),
    ("evil \x1b[31mred\x1b[0m\nnew line\x07", in_lock),
    ("", in_lock),
]


def busy():
    value = 0
    while True:
        value = (value * 31 + 7) % 1000003


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=0, help="so many more threads, waiting 20 calls deep")
    parser.add_argument("--busy", type=int, nargs="?", const=1, default=0, help="so many threads that never wait")
    parser.add_argument("--only", default=None, help="only the place of this name")
    options = parser.parse_args()

    places = [place for place in PLACES if options.only in (None, place[0])]
    threads = _fixture.start_threads(places)
    if options.only in (None, "deep"):
        sys.setrecursionlimit(5000)
        threads += _fixture.start_threads([("deep", lambda: recursion(1000))], stack_size=64 << 20)
    extra = [("parked %d" % number, lambda: recursion(20)) for number in range(options.threads)]
    threads += _fixture.start_threads(extra)
    _fixture.wait_until(lambda: all(thread.native_id for thread in threads), "threads without an id")
    _fixture.wait_parked([thread.native_id for thread in threads])
    facts = {
        "threads": {thread.native_id: thread.name for thread in threads},
        "busy": None,
        "busy_threads": [],
        "locals": {name: repr(value) for name, value in LOCAL_VALUES.items()},
        "secrets": SECRETS,
    }
    if options.busy:
        spinning = _fixture.start_threads([("busy %d" % number, busy) for number in range(options.busy)])
        _fixture.wait_until(lambda: all(thread.native_id for thread in spinning), "busy threads without an id")
        facts["busy"] = spinning[0].native_id
        facts["busy_threads"] = [thread.native_id for thread in spinning]
    _fixture.serve(facts, {})


if __name__ == "__main__":
    main()
