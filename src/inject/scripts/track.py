# Wraps __init__ of a class so that the creation stack of each instance is kept, until `untrack`.
import gc
import sys
import weakref

action, name, depth, shown = argv[0], argv[1], int(argv[2]), int(argv[3])
REGISTRY = "_pyattach_track"
MOST = 100000


def find(name):
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:split]))
        if module is None:
            continue
        found = module
        for part in parts[split:]:
            found = vars(found).get(part) if hasattr(found, "__dict__") else None
            if found is None:
                break
        if isinstance(found, type):
            return found
    raise LookupError("no class %s is loaded" % name)


def start(cls):
    own = cls.__dict__.get("__init__")
    inherited = cls.__init__
    made = {}
    state = {"class": cls, "own": own, "made": made, "created": 0}
    frame_of = sys._getframe
    ref = weakref.ref

    def note(self):
        state["created"] += 1
        key = id(self)
        if len(made) >= MOST and key not in made:
            return
        frame, stack = frame_of(2), []
        while frame is not None and len(stack) < depth:
            stack.append((frame.f_code, frame.f_lineno))
            frame = frame.f_back

        def forget(gone):
            if made.get(key, (None,))[0] is gone:
                made.pop(key, None)

        try:
            made[key] = (ref(self, forget), tuple(stack))
        except TypeError:
            made[key] = (None, tuple(stack))

    if own is None and inherited is object.__init__:
        plain = cls.__new__ is object.__new__

        def __init__(self, *args, **kwargs):
            note(self)
            if plain and (args or kwargs):
                raise TypeError("%s() takes no arguments" % cls.__name__)

    elif own is None:

        def __init__(self, *args, **kwargs):
            note(self)
            return super(cls, self).__init__(*args, **kwargs)

    else:

        def __init__(self, *args, **kwargs):
            note(self)
            return own.__get__(self, cls)(*args, **kwargs)

    __init__.__wrapped__ = inherited
    __init__.__doc__ = inherited.__doc__
    __init__.__qualname__ = getattr(inherited, "__qualname__", "__init__")
    state["ours"] = __init__
    # Whatever its metaclass thinks of it.
    type.__setattr__(cls, "__init__", __init__)
    return state


def stop(state):
    cls = state["class"]
    if cls.__dict__.get("__init__") is not state["ours"]:
        raise RuntimeError("the program has replaced __init__ since; it was left alone")
    if state["own"] is None:
        type.__delattr__(cls, "__init__")
    else:
        type.__setattr__(cls, "__init__", state["own"])


def summary(state):
    cls = state["class"]
    live = {id(item) for item in gc.get_objects() if issubclass(type(item), cls)}
    stacks = {}
    tracked = 0
    for key, (reference, stack) in list(state["made"].items()):
        if (reference is None and key in live) or (reference is not None and reference() is not None):
            tracked += 1
            stacks[stack] = stacks.get(stack, 0) + 1
        elif reference is None:
            state["made"].pop(key, None)
    rows = sorted(stacks.items(), key=lambda row: -row[1])[:shown]
    return {
        "class": name,
        "live": len(live),
        "created": state["created"],
        "tracked_live": tracked,
        "stacks": [
            {
                "count": count,
                "frames": [
                    {"function": code.co_name, "file": code.co_filename, "line": line} for code, line in stack
                ],
            }
            for stack, count in rows
        ],
    }


tracked = vars(sys).get(REGISTRY)
if action == "track":
    if tracked is None:
        tracked = {}
    state = tracked.get(name)
    if state is None:
        state = tracked[name] = start(find(name))
        setattr(sys, REGISTRY, tracked)
    result = summary(state)
else:
    if tracked is None or name not in tracked:
        raise LookupError("%s is not tracked" % name)
    result = summary(tracked[name])
    stop(tracked[name])
    del tracked[name]
    if not tracked:
        delattr(sys, REGISTRY)
