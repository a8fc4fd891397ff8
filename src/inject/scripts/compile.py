"""Compiles the wrapper with the interpreter that runs this: src/inject/scripts/compiled/*-MAJOR.MINOR.pyc.

Compiling it in the target takes it most of a millisecond before a script's first line, and two behind its last. To be run
by a release of each series after every change of the wrapper (`cargo test --test exec compiled` says where one is stale):

    for python in python3.8 … python3.15; do $python src/inject/scripts/compile.py; done
"""

import os.path
import py_compile
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))

for name in "wrapper", "wrapper_rest":
    py_compile.compile(
        os.path.join(FOLDER, name + ".py"),
        cfile=os.path.join(FOLDER, "compiled", "%s-%d.%d.pyc" % (name, *sys.version_info[:2])),
        # In tracebacks, and not a path of the machine that this ran on.
        dfile="<pyattach>",
        doraise=True,
        optimize=0,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
