"""Objects that keep attributes in every way there is, and one class of the user's own.

Commands: values, census, frames, ping. READY: `secrets`, texts that no output may have.
"""

import collections
import enum
import functools
import weakref

import _fixture


class Colour(enum.Enum):
    RED = 3


class Flag(enum.IntEnum):
    UP = 5


class Base:
    shared = "of the class"
    hidden = 1

    def __init__(self):
        self.__private = 11


class Computed:
    """A descriptor without a setter."""

    def __get__(self, instance, owner):
        return 99


class Everything(Base):
    from_getter = Computed()
    overridden = Computed()

    def __init__(self):
        super().__init__()
        self.small, self.big, self.negative, self.huge = 7, 2**62, -(2**40), 2**100
        self.fraction, self.yes, self.nothing, self.text = 2.5, True, None, "t\u00e4xt"
        self.__dict__["hidden_by_property"] = 1
        self.__dict__["overridden"] = 12
        self.colour, self.flag = Colour.RED, Flag.UP
        self.list, self.tuple, self.set = [1, 2, 3], (4, 5), {6, 7, 8, 9}
        self.dict = {"key": {"inner": 21}, 5: 1}
        self.ordered = collections.OrderedDict(a=1, b=2, c=3)
        self.deque = collections.deque(range(300))
        self.deque.rotate(70)
        for _ in range(90):
            self.deque.popleft()
        self.bounded = collections.deque([1], 17)
        self.kept = [Base(), Base()]
        self.alive, dead = weakref.ref(self.kept[0]), Base()
        self.dead = weakref.ref(dead)
        self.weak_set = weakref.WeakSet(self.kept + [dead])
        self.weak_values = weakref.WeakValueDictionary({1: self.kept[0], 2: dead})
        self.weak_keys = weakref.WeakKeyDictionary({self.kept[0]: 40, self.kept[1]: 2})
        self.function = functools.partial(self.method)
        self.slots = Slots()
        self.password = "hunter2-attribute"
        self.url = "https://app:hunter2-url@host/path"
        self.headers = {"Authorization": "Bearer hunter2hunter2"}

    @property
    def hidden_by_property(self):
        return 2

    @functools.cached_property
    def cached(self):
        return 31

    def method(self):
        pass


class Slots:
    __slots__ = ("filled", "empty", "__dict__")

    def __init__(self):
        self.filled = 51
        self.extra = 52


class Job:
    def __init__(self, number):
        self.number = number
        self.owner = "team %d" % (number % 3)
        self.attempts = number


class Urgent(Job):
    pass


def main():
    everything = Everything()
    used = Everything()
    assert used.cached == 31
    jobs = [Job(number) for number in range(12)] + [Urgent(100)]
    kept = {"everything": everything, "used": used, "jobs": jobs}

    def values():
        return {name: hex(id(one)) for name, one in kept.items()}

    _fixture.serve({"secrets": ["hunter2"]}, {"values": values})


if __name__ == "__main__":
    main()
