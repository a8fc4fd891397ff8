"""Children end with their parent, also when it is killed."""

import ctypes
import signal


def with_parent(*_, **__):
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
