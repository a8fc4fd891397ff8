"""Report jobs; a registry keeps them with their thread pools."""

import concurrent.futures

REGISTRY = {}


class ReportJob:
    def __init__(self, number):
        self.number = number
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)


def start(number):
    """Leak 2: nothing takes jobs out of the registry."""
    REGISTRY["job-%d" % number] = ReportJob(number)
