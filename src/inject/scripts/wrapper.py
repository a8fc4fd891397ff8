def run():
    import sys, posix
    from _thread import get_ident, interrupt_main
    from time import monotonic_ns

    fd, inode, spare, spare_inode, pid, room, name, argv, source = ARGS
    if posix.getpid() != pid:
        return  # a child that was forked with the request in it
    me = [get_ident()]
    left = [room]

    def emit(kind, data):
        if posix.fstat(fd).st_ino != inode:
            raise OSError("the program has closed the descriptor")
        posix.write(fd, kind + len(data).to_bytes(4, "little") + data)

    def stream(kind, real):
        def write(text):
            if get_ident() not in me:
                return real.write(text)
            data = text.encode("utf-8", "backslashreplace")
            if left[0] < len(data):
                if left[0] >= 0:
                    left[0] = -1
                    emit(b"C", b"")
            else:
                left[0] -= len(data)
                emit(kind, data)
            return len(text)

        def writelines(lines):
            for line in lines:
                write(line)

        def flush():
            if get_ident() not in me and real is not None:
                real.flush()

        names = {}
        for one in dir(real):
            if one[:1] != "_":
                try:
                    names[one] = getattr(real, one)
                except Exception:
                    pass
        names.update(write=write, writelines=writelines, flush=flush)
        return type(sys.implementation)(**names)

    def is_of_a_signal(error):
        """Ctrl-C for the program came while the script ran; a script that says `raise` does not count."""
        from opcode import opmap

        trace = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        code = trace.tb_frame.f_code.co_code
        return code[trace.tb_lasti] != opmap["RAISE_VARARGS"]

    def format(error, whole):
        from traceback import format_exception, format_exception_only

        if whole:
            trace = error.__traceback__.tb_next
            lines = format_exception(type(error), error, trace)
        else:
            lines = format_exception_only(type(error), error)
        return "".join(lines).encode("utf-8", "backslashreplace")

    outputs = sys.stdout, sys.stderr
    ours = stream(b"O", outputs[0]), stream(b"E", outputs[1])
    space = {"__name__": "__pyattach__", "__builtins__": __builtins__, "argv": argv}
    try:
        try:
            code = compile(source, name, "exec", 0, True)
        except BaseException as error:
            emit(b"S", format(error, False))
            code = None
        if code is not None:
            sys.stdout, sys.stderr = ours
            emit(b"B", b"%d" % monotonic_ns())
            try:
                exec(code, space)
            except SystemExit as error:
                emit(b"Q", repr(error.code).encode("utf-8", "backslashreplace"))
            except BaseException as error:
                emit(b"X", format(error, True))
                if isinstance(error, KeyboardInterrupt) and is_of_a_signal(error):
                    interrupt_main()
            emit(b"T", b"%d" % monotonic_ns())
            if "result" in space:
                try:
                    from json import dumps

                    emit(b"V", dumps(space["result"]).encode())
                except BaseException as error:
                    emit(b"L", format(error, False))
    except:
        pass
    # What we ask for from outside at the time limit is raised before the last record is written, or in this loop.
    for _ in (1, 2, 3):
        try:
            me[:] = []
            if sys.stdout is ours[0]:
                sys.stdout = outputs[0]
            if sys.stderr is ours[1]:
                sys.stderr = outputs[1]
            emit(b"F", b"")
            break
        except:
            pass
    for one, expected in ((spare, spare_inode), (fd, inode)):
        try:
            if one >= 0 and posix.fstat(one).st_ino == expected:
                posix.close(one)
        except:
            pass


run = run()
