"""Close to its limits: of its address space, which it meets over and over, and of its control group, if it is put into one."""

import mmap
import resource

ROOM = 300 << 20
CHUNK = 10 << 20
most = []


def fills():
    """Takes all that there is; each time it is as much."""
    while running():
        chunks = []
        try:
            while len(chunks) < 2 * ROOM // CHUNK:
                chunks.append(mmap.mmap(-1, CHUNK))  # untouched, so it takes no memory
        except OSError:
            pass
        most.append(len(chunks))
        del chunks
        counted("fills")
        time.sleep(0.002)
    if max(most) - min(most) > 5 or max(most) >= 2 * ROOM // CHUNK:
        harm("had room for %d to %d chunks" % (min(most), max(most)))


def writes():
    """Writes to each of its pages, and finds them as it left them."""
    block = bytearray(60 << 20)
    pages = len(block) // 4096
    number = 0
    while running():
        number = number % 255 + 1
        block[::4096] = bytes([number]) * pages
        time.sleep(0.001)
        if block[::4096].count(number) != pages:
            harm("pages were changed")
        counted("writes")


def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * 4096


def start():
    """After the threads have their stacks and arenas, and all that is written to is there: only then is there no room for a copy."""
    until = time.monotonic() + 60
    while not (COUNTS.get("writes") and COUNTS.get("fills")) and time.monotonic() < until:
        time.sleep(0.01)


worker(writes)
worker(fills)
# Stacks and arenas of three threads.
resource.setrlimit(resource.RLIMIT_AS, (size() + (60 << 20) + 3 * (80 << 20) + ROOM,) * 2)
serve(start=start)
