"""Signals at 1 kHz: none lost, none twice, values right, timers that fire as often as they should."""

import signal
import struct

TAKEN = signal.SIGRTMIN + 3  # taken by sigtimedwait
HANDLED = signal.SIGRTMIN + 4  # by a handler; real-time, so that none is merged with another
EVERY = 0.001
SENT = {TAKEN: 0, HANDLED: 0}
taken = [0]
arrived = [0]
ticks = [0]
senders = threading.Semaphore(0)


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def sender(number):
    while running():
        time.sleep(EVERY)
        # EAGAIN: too many are queued.
        if libc.sigqueue(os.getpid(), number, ctypes.c_void_p(SENT[number])) == 0:
            SENT[number] += 1
            counted("sent %d" % number)
    senders.release()


def taker():
    # siginfo_t, 128 bytes: si_value is at 24.
    info = ctypes.create_string_buffer(128)
    mask = ctypes.create_string_buffer(128)
    libc.sigemptyset(mask)
    libc.sigaddset(mask, TAKEN)
    quiet = 0
    while running() or quiet < 3 or taken[0] < SENT[TAKEN]:
        number = libc.sigtimedwait(mask, info, ctypes.byref(Timespec(0, 300000000)))
        if number == -1:
            # EINTR comes with any stop (signal(7)), EAGAIN with the time.
            quiet += ctypes.get_errno() == 11
            if quiet > 100:
                harm("%d of %d queued signals arrived" % (taken[0], SENT[TAKEN]))
                return
            continue
        quiet = 0
        value = struct.unpack_from("<q", info, 24)[0]
        if number != TAKEN or value != taken[0]:
            harm("signal %d with value %d instead of %d" % (number, value, taken[0]))
        taken[0] += 1
        counted("taken")


def timer_file():
    """Expirations of a timer: as many as the time is long."""
    file = libc.timerfd_create(1, 0)
    every = int(EVERY * 1e9)
    begin = time.monotonic()
    libc.timerfd_settime(file, 0, (ctypes.c_long * 4)(0, every, 0, every), None)
    begun = time.monotonic()
    total = 0
    while running():
        before = time.monotonic()
        total += struct.unpack("<Q", os.read(file, 8))[0]
        counted("reads of a timer")
        least, most = (before - begun) / EVERY - 2, (time.monotonic() - begin) / EVERY + 2
        if not least <= total <= most:
            harm("a timer expired %d times, not %g to %g" % (total, least, most))
    os.close(file)


def bytes_of_handlers():
    while True:
        numbers = os.read(near, 4096)
        arrived[0] += numbers.count(bytes([HANDLED]))
        if b"\0" in numbers:
            return


def stop():
    # All that were sent are in the queue of this thread or through.
    until = time.monotonic() + 30
    while arrived[0] < SENT[HANDLED] and time.monotonic() < until:
        time.sleep(0.01)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.set_wakeup_fd(-1)
    os.write(far, b"\0")
    reader.join()
    os.close(near)
    os.close(far)
    if arrived[0] != SENT[HANDLED]:
        harm("%d signals were handled, %d sent" % (arrived[0], SENT[HANDLED]))
    if taken[0] != SENT[TAKEN]:
        harm("%d signals were taken, %d sent" % (taken[0], SENT[TAKEN]))


def start():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [HANDLED, signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)


def on_alarm(number, frame):
    ticks[0] += 1
    COUNTS["ticks"] = ticks[0]


libc.sigqueue.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
# For the threads; main takes what has a handler when they run.
signal.pthread_sigmask(signal.SIG_BLOCK, [TAKEN, HANDLED, signal.SIGALRM])
# Room for half a minute of single bytes, which a socket's buffer has not.
near, far = os.pipe()
os.set_blocking(far, False)
signal.set_wakeup_fd(far, warn_on_full_buffer=True)
signal.signal(HANDLED, lambda number, frame: None)
signal.signal(signal.SIGALRM, on_alarm)
reader = threading.Thread(target=bytes_of_handlers, daemon=True)
reader.start()
for number in SENT:
    worker(sender, number)
worker(taker)
worker(timer_file)
serve(start=start, stop=stop)
