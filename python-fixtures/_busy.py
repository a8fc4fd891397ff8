"""What the busy programs share: where they note the harm they find, and objects in cycles."""

HARM = []


def harm(text):
    if len(HARM) < 100:
        HARM.append(text)


class Node:
    def __init__(self, value):
        self.value = value
        self.me = self
        self.children = [{"value": value, "list": [value] * 3}, (value, self)]
