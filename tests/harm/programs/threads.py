"""Starts and ends threads by the hundred, with work and timed waits in each."""


def work(number, results):
    begin = time.monotonic()
    lock = threading.Lock()
    lock.acquire()
    if lock.acquire(timeout=0.005) or time.monotonic() - begin < 0.005:
        harm("a lock's time ended after %g s" % (time.monotonic() - begin))
    results.append(sum(range(number)))


def rounds():
    while running():
        results = []
        threads = [threading.Thread(target=work, args=(number, results)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if sorted(results) != sorted(sum(range(number)) for number in range(100)):
            harm("wrong results")
        counted("rounds")
        counted("threads", len(threads))


worker(rounds)
serve()
