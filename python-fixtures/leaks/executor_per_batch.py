"""A ThreadPoolExecutor for each batch, without shutdown. Healthy: one executor for all batches."""

import concurrent.futures

import _leak


class Batch:
    """A batch of work and the executor that did it."""

    done = []

    def __init__(self, number, executor):
        self.number = number
        self.executor = executor
        self.results = list(executor.map(hash, range(8)))
        Batch.done.append(self)


class Service:
    workers = 4

    def __init__(self, given):
        self.shared = self.executor("shared") if given.healthy else None

    def executor(self, name):
        return concurrent.futures.ThreadPoolExecutor(self.workers, thread_name_prefix=name)

    def work(self, rounds):
        for _ in range(rounds):
            number = len(Batch.done)
            Batch(number, self.shared or self.executor("batch-%d" % number))

    def tell(self, row):
        for one in _leak.instances(concurrent.futures.ThreadPoolExecutor):
            metrics = {"limit": one._max_workers, "created": len(one._threads), "queued": one._work_queue.qsize()}
            row(one, "thread_pool_executor", "shutdown" if one._shutdown else "open", metrics)


if __name__ == "__main__":
    _leak.serve("executor_per_batch", Service, rounds=20)
