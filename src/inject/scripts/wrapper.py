# What runs before the script's first line. The target compiles it anew for each script, which is most of the
# latency: all that has time until later is in wrapper_rest.py, and this is the plainest code that does the work.
try:
    import _thread, posix, sys, time

    # Not in a child that was forked with the request in it, nor when the program has closed the descriptor.
    if posix.getpid() == PID and posix.fstat(FD).st_ino == INODE:

        def rest(*what):
            if not made:
                found = {"ARGS": ARGUMENTS}
                exec(text[:REST_LENGTH], found)
                made.append(found.pop("make")(globals()))
            return made[0](*what)

        text = posix.pread(FD, RECORDS, 0)
        made = []
        error = code = None
        me = [_thread.get_ident()]
        real = sys.stdout, sys.stderr
        # A module with __getattr__ is the one kind of object that answers for another without a class of its own,
        # which only the collector would remove.
        out, err = type(sys)("stdout"), type(sys)("stderr")
        out.__getattr__ = lambda name: rest(0, name)
        err.__getattr__ = lambda name: rest(1, name)
        space = {"__name__": "__pyattach__", "__builtins__": __builtins__, "argv": ARGV}
        try:
            code = compile(text[REST_LENGTH:], NAME, "exec", 0, True)
            sys.stdout, sys.stderr = out, err
            posix.pwrite(FD, b"B\x13\0\0\0%019d" % time.monotonic_ns(), RECORDS)
            exec(code, space)
        except BaseException as raised:
            error = raised
        # What we ask for from outside at the time limit may be raised here.
        for _ in 1, 2, 3:
            try:
                if sys.stdout is out:
                    sys.stdout = real[0]
                if sys.stderr is err:
                    sys.stderr = real[1]
                rest(2, time.monotonic_ns())
                break
            except:
                pass
        else:
            if posix.fstat(FD).st_ino == INODE:
                posix.lseek(FD, 0, 2)
                posix.write(FD, b"A\0\0\0\0F\0\0\0\0")
except:
    pass
