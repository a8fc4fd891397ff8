"""Pools of processes whose workers are replaced all the time; every result is checked."""

import multiprocessing

context = multiprocessing.get_context("fork")


def work(number):
    made = [[n, str(n)] for n in range(number * 50)]
    return number, sum(n for n, text in made), made[-1:]


def expected(number):
    last = number * 50 - 1
    return number, last * (last + 1) // 2, [[last, str(last)]] if number else []


def pool():
    with context.Pool(3, maxtasksperchild=4) as pool:
        for _ in range(8):
            if pool.map(work, range(24), chunksize=3) != [expected(number) for number in range(24)]:
                harm("a wrong result")
            counted("maps")
        pool.close()
        pool.join()
    counted("pools")


def child():
    here, there = context.Pipe()
    child = context.Process(target=lambda: there.send(work(30)))
    child.start()
    there.close()
    if here.recv() != expected(30):
        harm("a wrong answer of a child")
    child.join()
    here.close()
    if child.exitcode != 0:
        harm("a child ended with %r" % child.exitcode)
    child.close()
    counted("children")


def rounds():
    # In turn: two threads that look after children at a time confuse multiprocessing.
    while running():
        pool()
        for _ in range(5):
            child()


worker(rounds)
serve()
