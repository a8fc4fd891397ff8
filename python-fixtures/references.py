"""Objects of every kind that refers to others, and what the collector says they refer to.

Imports the large libraries that are on the path.

READY: `imported` (names). Commands: `referents FILE` writes, for each tracked object, 64-bit words: its id, the number of its
referents by `gc.get_referents()`, their ids; answers `{objects}`. Run it once before the one that counts.
"""

import array
import asyncio
import collections
import contextlib
import contextvars
import enum
import functools
import gc
import importlib
import itertools
import operator
import queue
import sys
import threading
import types
import weakref

import _fixture

LIBRARIES = ["aiohttp", "django", "sqlalchemy", "numpy", "requests", "redis", "httpx", "psycopg", "uvicorn"]


class Plain:
    shared = []

    def __init__(self, value):
        self.value = value
        self.other = [value]

    def method(self):
        return self.value


class Child(Plain):
    pass


class Slotted:
    __slots__ = ("one", "two", "__weakref__")


class SlottedChild(Slotted):
    __slots__ = ("three",)


class SlottedWithDict(Slotted):
    pass


class ListChild(list):
    pass


class SlottedList(list):
    __slots__ = ("extra",)


class DictChild(dict):
    pass


class SetChild(set):
    pass


class TupleChild(tuple):
    pass


class IntChild(int):
    pass


class StrChild(str):
    pass


class DequeChild(collections.deque):
    pass


class Failure(Exception):
    pass


class Meta(type):
    pass


class WithMeta(metaclass=Meta):
    attribute = {}


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


Point = collections.namedtuple("Point", "x y")


def closure(*captured):
    first, second = captured, [captured]

    def inner(argument=first, *, keyword=second):
        return first, second, argument, keyword

    return inner


def generator(value):
    held = [value]
    yield held
    yield from generator(held)


async def coroutine(event):
    held = [event]
    await event.wait()
    return held


async def agenerator(value):
    held = [value]
    yield held


def failing(value):
    local = [value]
    raise Failure(local)


class Manager:
    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return False


def make():
    kept = [Plain(i) for i in range(50)]
    for i, one in enumerate(kept):
        if i % 2:
            vars(one)  # a dict beside or instead of the values
        if i % 3 == 0:
            setattr(one, "late%d" % i, [i])
        if i % 5 == 0:
            del one.other
    kept += [Child([i]) for i in range(10)]
    for i in range(20):
        one = SlottedWithDict()
        one.one, one.more = [i], {i: i}
        kept.append(one)
        one = SlottedChild()
        one.one, one.three = [i], (i, [])
        kept.append(one)
    late = Plain(1)
    for i in range(40):
        setattr(late, "attribute%d" % i, [i])
    kept.append(late)
    for cls in (ListChild, SlottedList, DictChild, SetChild, TupleChild, DequeChild):
        one = cls([(1, 2), (3, 4)])
        one.extra = [1]
        kept.append(one)
    for cls in (IntChild, StrChild):
        one = cls(77)
        one.extra = [1]
        kept.append(one)
    kept += [{i: [i] for i in range(100)}, {"k%d" % i: [i] for i in range(100)}, {(1, 2): []}]
    shrunk = {i: [i] for i in range(100)}
    for i in range(50):
        del shrunk[i]
    kept.append(shrunk)
    kept += [set(Plain(i) for i in range(50)), frozenset(Plain(i) for i in range(5))]
    removed = set((i, []) [0] for i in range(100))
    removed.add(Plain(1))
    for i in range(90):
        removed.discard(i)
    kept.append(removed)
    kept.append(collections.deque([i] for i in range(200)))
    rotated = collections.deque(([i] for i in range(200)), maxlen=150)
    rotated.rotate(17)
    kept.append(rotated)
    kept.append(collections.OrderedDict((("a%d" % i), [i]) for i in range(20)))
    kept.append(collections.defaultdict(Plain, a=[1]))
    kept.append(collections.Counter("abcabc"))
    kept.append(collections.ChainMap({1: []}, {2: []}))
    kept.append(types.MappingProxyType({1: [2]}))
    kept.append(types.SimpleNamespace(a=[1], b={}))
    kept += [closure([1], {}), functools.partial(closure, [1], key=[2]), Plain(1).method, [].append, len]
    kept += [property(closure([])), staticmethod(closure([])), classmethod(closure([])), Plain.method, list.append, int.real]
    kept += [slice([1], [2], [3]), range(10), super(Child, Child(1)), operator.attrgetter("a.b"), operator.itemgetter(1, [2])]
    cached = functools.lru_cache(maxsize=None)(closure)
    cached((1, 2))
    bounded = functools.lru_cache(maxsize=4)(closure)
    for i in range(6):
        bounded((i,))
    kept += [cached, bounded]
    started = generator([1])
    next(started)
    delegating = generator([1])
    next(delegating), next(delegating)
    finished = generator([1])
    finished.close()
    kept += [generator([2]), started, delegating, finished]
    a = agenerator([1])
    kept.append(a)
    kept += [map(closure, [[1]]), zip([[1]], [[2]]), filter(None, [[1]]), enumerate([[1]]), reversed([[1]]), iter([[1]])]
    kept += [itertools.chain([1], [2]), itertools.cycle([[1]]), itertools.count(), itertools.repeat([1]), itertools.product([[1]], [[2]])]
    kept += [iter({1: []}), iter({1: []}.values()), {1: []}.items(), iter(set([1])), itertools.tee([[1]])]
    try:
        failing([1])
    except Failure as error:
        kept.append(error)
    try:
        try:
            failing([2])
        except Failure as error:
            raise ValueError([3]) from error
    except ValueError as error:
        kept.append(error)
    kept += [OSError(1, "a", "b"), StopIteration([1]), SyntaxError("a", ("b", 1, 2, "c")), KeyError([1])]
    kept += [weakref.ref(kept[0]), weakref.ref(kept[1], closure([])), weakref.WeakKeyDictionary({kept[2]: [1]})]
    kept += [weakref.WeakValueDictionary(a=kept[3]), weakref.WeakSet(kept[:5]), weakref.proxy(kept[4]), weakref.WeakMethod(kept[5].method)]
    kept.append(weakref.finalize(kept[6], closure, [1]))
    kept += [types.ModuleType("made"), Point([1], [2]), Colour.RED, Meta("Made", (), {"a": [1]}), WithMeta(), type("Bare", (), {})]
    kept.append(sys._getframe())
    for i in range(3):
        variable = contextvars.ContextVar("v%d" % i, default=[i])
        variable.set([i])
        kept.append(variable)
    kept.append(contextvars.copy_context())
    kept += [threading.Lock(), threading.RLock(), threading.Condition(), threading.Event(), threading.local(), queue.Queue(), queue.SimpleQueue()]
    kept[-1].put([1])
    kept[-3].attribute = [1]
    kept += [contextlib.ExitStack(), contextlib.nullcontext([1])]
    kept[-2].enter_context(Manager())
    kept.append(memoryview(bytearray(10)))
    if sys.version_info >= (3, 9):
        kept.append(list[dict])
    return kept


def make_tasks(loop):
    asyncio.set_event_loop(loop)
    kept = []

    async def prepare():
        event = asyncio.Event()
        tasks = [loop.create_task(coroutine(event)) for _ in range(10)]
        tasks.append(asyncio.gather(*tasks[:3]))
        tasks.append(asyncio.shield(tasks[4]))
        tasks.append(loop.create_task(asyncio.wait_for(loop.create_future(), 10000)))
        future = loop.create_future()
        for _ in range(3):
            future.add_done_callback(kept.append)
        kept.extend([event, tasks, future, loop.call_later(10000, kept.append, [1])])
        for _ in range(5):
            await asyncio.sleep(0)

    loop.run_until_complete(prepare())
    return kept


def referents(path):
    for _ in range(4):
        gc.collect()
    words = array.array("Q")
    objects = gc.get_objects()
    own = {id(objects), id(words), id(sys._getframe())}
    count = 0
    for one in objects:
        if id(one) in own:
            continue
        refs = gc.get_referents(one)
        words.append(id(one))
        words.append(len(refs))
        words.extend([id(ref) for ref in refs])
        count += 1
    del objects, one, refs
    with open(path, "wb") as file:
        words.tofile(file)
    return {"objects": count}


def main():
    imported = []
    for name in LIBRARIES:
        try:
            imported.append((name, importlib.import_module(name)))
        except ImportError:
            pass
    for name in ("sqlalchemy.orm", "django.db.models", "aiohttp.web", "json", "logging.config", "concurrent.futures", "email.message"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    kept = make()
    loop = asyncio.new_event_loop()
    kept.append(make_tasks(loop))
    gc.collect()
    gc.disable()
    with contextlib.suppress(AttributeError):
        gc.unfreeze()
    _fixture.serve(
        {"imported": [name for name, _ in imported], "kept": len(kept)},
        {"referents": referents},
    )


if __name__ == "__main__":
    main()
