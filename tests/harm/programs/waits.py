"""Every way in which a thread waits for a time, over and over; native ones without any retry, which must never see EINTR."""

import select
import socket

SECONDS = 0.6


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def relative():
    return ctypes.byref(Timespec(0, int(SECONDS * 1e9)))


def loop(name, wait, expected):
    while running():
        begin = time.monotonic()
        result = wait()
        waited(name, begin, SECONDS)
        if result != expected:
            harm("%s: %r instead of %r" % (name, result, expected))


def native(call):
    def wait():
        ctypes.set_errno(0)
        return call(), ctypes.get_errno()

    return wait


def refused(call):
    def wait():
        try:
            return call()
        except socket.timeout:
            return "timeout"

    return wait


def child():
    # In C as far as possible: other threads run.
    pid = os.fork()
    if pid == 0:
        libc.usleep(int(SECONDS * 1e6))
        os._exit(7)
    found, status, usage = os.wait4(pid, 0)
    return found == pid and os.WEXITSTATUS(status)


ours, theirs = socket.socketpair()
ours.settimeout(SECONDS)
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(1)
listener.settimeout(SECONDS)
epoll = select.epoll()
poll = select.poll()
for one in (epoll, poll):
    one.register(theirs, select.EPOLLIN)
held = threading.Lock()
held.acquire()
condition = threading.Condition()
event = threading.Event()
word = ctypes.c_int(0)
reader, writer = os.pipe()


def on_condition():
    with condition:
        return condition.wait(SECONDS)


def on_read():
    timer = threading.Timer(SECONDS, lambda: os.write(writer, b"hello"))
    timer.start()
    found = os.read(reader, 5)
    timer.join()
    return found


def native_select():
    return libc.select(0, None, None, None, (ctypes.c_long * 2)(0, int(SECONDS * 1e6)))


for name, wait, expected in [
    ("sleep", lambda: time.sleep(SECONDS), None),
    ("select", lambda: select.select([theirs], [], [], SECONDS), ([], [], [])),
    ("poll", lambda: poll.poll(SECONDS * 1000), []),
    ("epoll", lambda: epoll.poll(SECONDS), []),
    ("recv", refused(lambda: ours.recv(1)), "timeout"),
    ("accept", refused(lambda: listener.accept()), "timeout"),
    ("read", on_read, b"hello"),
    ("lock", lambda: held.acquire(timeout=SECONDS), False),
    ("condition", on_condition, False),
    ("event", lambda: event.wait(SECONDS), False),
    ("wait4", child, 7),
    ("native nanosleep", native(lambda: libc.nanosleep(relative(), None)), (0, 0)),
    ("native poll", native(lambda: libc.poll(None, 0, int(SECONDS * 1000))), (0, 0)),
    ("native select", native(native_select), (0, 0)),
    # ETIMEDOUT
    ("native futex", native(lambda: libc.syscall(202, ctypes.byref(word), 128, 0, relative())), (-1, 110)),
]:
    worker(loop, name, wait, expected)
serve()
