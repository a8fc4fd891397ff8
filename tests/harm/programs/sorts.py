"""Long calls into C that hold the GIL, or not, each with its result checked."""

import hashlib
import random
import re
import zlib


def sorts(seed):
    chance = random.Random(seed)
    numbers = list(range(60000))
    texts = ["%08x" % number for number in numbers]
    while running():
        chance.shuffle(numbers)
        shuffled = list(numbers)
        shuffled.sort()
        pairs = [(number % 97, number) for number in numbers]
        pairs.sort(key=lambda pair: pair[1])
        words = ["%08x" % number for number in numbers]
        words.sort(reverse=True)
        words.reverse()
        if shuffled != list(range(60000)) or words != texts:
            harm("a list is not sorted")
        if [pair[1] for pair in pairs] != shuffled:
            harm("a list is not sorted by its key")
        counted("sorts %d" % seed)


def calls():
    block = bytes(range(256)) * 4000
    digest = hashlib.sha256(block).hexdigest()
    text = "word " * 20000 + "end"
    number = 3**9000
    while running():
        if hashlib.sha256(block).hexdigest() != digest:
            harm("a digest is wrong")
        if zlib.decompress(zlib.compress(block)) != block:
            harm("a block was changed")
        if len(re.findall(r"(?:w(?=o)|x)ord ", text)) != 20000:
            harm("a search missed something")
        if json.loads(json.dumps(list(range(20000)))) != list(range(20000)):
            harm("a list was changed")
        if number * number // number != number:
            harm("a number is wrong")
        counted("calls")


worker(sorts, 1)
worker(sorts, 2)
worker(calls)
serve()
