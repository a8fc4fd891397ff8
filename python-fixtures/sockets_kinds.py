"""Sockets of every kind, in known states, and descriptors that no socket object has.

Commands: sockets, census, frames, ping.
"""

import asyncio
import ctypes
import fcntl
import gc
import http.client
import os
import socket
import struct
import sys
import threading

import _fixture
import _socket

try:
    import ssl
except ImportError:
    ssl = None

# include/net/tcp_states.h
STATES = [
    None, "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
    "LAST_ACK", "LISTEN", "CLOSING",
]
STALE = 3
libc = ctypes.CDLL(None, use_errno=True)


def text_of(address, family):
    """An address as pyattach writes it, None for none."""
    if family == socket.AF_INET:
        return None if address == ("0.0.0.0", 0) else "%s:%d" % address
    if family == socket.AF_INET6:
        host, port, _, scope = address
        host = host.split("%")[0]
        if host == "::" and port == 0:
            return None
        return "[%s%s]:%d" % (host, "%%%d" % scope if scope else "", port)
    if family == socket.AF_UNIX:
        if not address:
            return None
        if isinstance(address, bytes):
            shown = "".join(chr(b) if 32 <= b < 127 else "\\x%02x" % b for b in address[1:])
            return "@" + shown
        return address
    return str(address)


def truth(one):
    """What the kernel tells the program itself about a socket object."""
    row = {"address": hex(id(one)), "type": _fixture.type_name(type(one)), "fd": one.fileno()}
    if one.fileno() < 0:
        return row
    row["family"] = socket.AddressFamily(one.family).name
    row["kind"] = socket.SocketKind(one.type).name
    row["inode"] = os.fstat(one.fileno()).st_ino
    family = int(one.family)
    if family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        raw = int(one.type) == socket.SOCK_RAW
        row["local"] = None if raw else text_of(one.getsockname(), family)
        try:
            row["peer"] = None if raw else text_of(one.getpeername(), family)
        except OSError:
            row["peer"] = None
    if family in (socket.AF_INET, socket.AF_INET6) and int(one.type) == socket.SOCK_STREAM:
        info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
        row["state"] = STATES[info[0]]
        if row["state"] == "ESTABLISHED" or row["state"] == "CLOSE_WAIT":
            waiting = ctypes.c_int(0)
            libc.ioctl(one.fileno(), 0x541B, ctypes.byref(waiting))  # FIONREAD
            row["recv_q"] = waiting.value
    return row


def listener(family=socket.AF_INET, host="127.0.0.1"):
    one = socket.socket(family, socket.SOCK_STREAM)
    one.bind((host, 0))
    one.listen(50)
    return one


def connected(server):
    client = socket.create_connection(server.getsockname()[:2])
    return client, server.accept()[0]


def inet(kept, has_ipv6):
    server = listener()
    kept["listener"] = server
    for _ in range(5):
        kept.setdefault("established", []).extend(connected(server))
    quiet = listener()
    kept["quiet listener"] = quiet
    kept["not accepted"] = [socket.create_connection(quiet.getsockname()) for _ in range(3)]
    client, accepted = connected(server)
    client.sendall(b"x" * 1234)  # stays unread
    kept["unread"] = [client, accepted]
    # Closed by the peer, not by us.
    kept["close wait"] = []
    for _ in range(7):
        client, accepted = connected(server)
        accepted.close()
        kept["close wait"].append(client)
    client, accepted = connected(server)
    client.shutdown(socket.SHUT_WR)
    kept["half closed"] = [client, accepted]
    # The other way round: the side that closes first waits.
    for _ in range(4):
        client, accepted = connected(server)
        client.close()
        _fixture.wait_until(lambda: accepted.recv(1) == b"", "end of stream")
        accepted.close()
    # Reset: bound once, in no table any more.
    client, accepted = connected(server)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    accepted.close()
    try:
        client.recv(1)
    except ConnectionResetError:
        pass
    kept["reset"] = client
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    kept["bound"] = bound
    kept["fresh"] = [socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(udp.getsockname())
    kept["udp"] = [udp, sender]
    if has_ipv6:
        six = listener(socket.AF_INET6, "::1")
        kept["six"] = [six] + list(connected(six))
        both = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", 0))
        both.listen(5)
        client = socket.create_connection(("127.0.0.1", both.getsockname()[1]))
        kept["mapped"] = [both, client, both.accept()[0]]
        udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        udp.bind(("::1", 0))
        kept["udp six"] = udp


def link_local(kept):
    """A socket bound to a link-local address of any interface, if there is one."""
    try:
        lines = open("/proc/self/net/if_inet6").read().splitlines()
    except OSError:
        return
    for line in lines:
        digits, index, _, scope, _, name = line.split()
        if scope == "20":
            one = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            try:
                host = ":".join(digits[at : at + 4] for at in range(0, 32, 4))
                one.bind((host, 0, 0, int(index, 16)))
                one.listen(1)
            except OSError:
                one.close()
                continue
            kept["link local"] = one
            return


def unix(kept):
    kept["pair"] = list(socket.socketpair())
    kept["datagram pair"] = list(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    folder = "/tmp/pyattach-%d" % os.getpid()
    server = socket.socket(socket.AF_UNIX)
    server.bind(folder + ".sock")
    server.listen(5)
    client = socket.socket(socket.AF_UNIX)
    client.connect(folder + ".sock")
    kept["unix"] = [server, client, server.accept()[0]]
    os.unlink(folder + ".sock")
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(b"\0pyattach\x01\x1b[2J-%d" % os.getpid())
    abstract.listen(1)
    kept["abstract"] = abstract
    # A path that would be a line of its own in /proc/net/unix.
    evil = socket.socket(socket.AF_UNIX)
    evil.bind(b"\0x\n0000000000000000: 00000002 00000000 00010000 0001 01 %d /evil" % os.fstat(server.fileno()).st_ino)
    evil.listen(1)
    kept["evil"] = evil


def tls(kept, server):
    """The type is what counts, so it has not spoken TLS yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client, accepted = connected(server)
    kept["tls"] = [context.wrap_socket(client, do_handshake_on_connect=False), accepted]


def owners(kept, server):
    connection = http.client.HTTPConnection(*server.getsockname())
    connection.connect()
    kept["http"] = [connection, server.accept()[0]]
    loop = asyncio.new_event_loop()

    async def connect():
        transport, protocol = await loop.create_connection(asyncio.Protocol, *server.getsockname())
        serving = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        datagram, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        return transport, serving, datagram

    transport, serving, datagram = loop.run_until_complete(connect())
    kept["asyncio"] = [loop, transport, serving, datagram, server.accept()[0]]
    return {
        "http": [hex(id(connection.sock)), hex(id(connection))],
        "transport": [hex(id(transport._sock)), hex(id(transport))],
        "datagram": [hex(id(datagram._sock)), hex(id(datagram))],
        "server": [hex(id(serving._sockets[0])), hex(id(serving))],
        "self-pipe": [hex(id(loop._csock)), hex(id(loop))],
    }


def asyncio_tls(kept, server):
    """A transport under TLS whose handshake never ends, so that no certificate is needed."""
    loop = kept["asyncio"][0]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    host, port = server.getsockname()
    connecting = loop.create_task(loop.create_connection(asyncio.Protocol, host, port, ssl=context))
    found = []

    def look():
        loop.run_until_complete(asyncio.sleep(0))
        for one in gc.get_objects():
            if type(one).__name__ == "_SelectorSocketTransport" and type(one._protocol).__name__ == "SSLProtocol":
                found[:] = [one]
        return found

    _fixture.wait_until(look, "a transport under TLS")
    accepted = server.accept()[0]
    waiting = ctypes.c_int(0)

    def greeted():
        loop.run_until_complete(asyncio.sleep(0))
        libc.ioctl(accepted.fileno(), 0x541B, ctypes.byref(waiting))
        return waiting.value

    _fixture.wait_until(greeted, "the client's greeting")
    kept["asyncio tls"] = [connecting, accepted]
    return [hex(id(found[0]._sock)), hex(id(found[0]))]


def strays(kept):
    """Descriptors without an object, objects without a descriptor."""
    original = kept["established"][0]
    facts = {"dup": [os.dup(original.fileno()), original.fileno()]}
    facts["ctypes"] = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    made = libc.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
    facts["ctypes datagram"] = made
    closed = [socket.socket() for _ in range(STALE)]
    for one in closed:
        one.close()
    detached = socket.socket()
    facts["detached"] = detached.detach()
    kept["closed"] = closed + [detached]
    # Closed behind the object's back; the number is used again for a file, or for nothing.
    reused, other = socket.socket(), socket.socket()
    number = reused.fileno()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, number)
    os.close(null)
    udp = libc.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    os.dup2(udp, other.fileno())
    os.close(udp)
    high = socket.socket()  # a number that nothing else will take
    gone = socket.socket(fileno=fcntl.fcntl(high, fcntl.F_DUPFD_CLOEXEC, 900))
    high.close()
    os.close(gone.fileno())
    kept["stale"] = [gone, reused, other]
    facts["gone"] = hex(id(gone))
    facts["reused"] = [hex(id(reused)), hex(id(other))]
    facts["reused descriptor"] = other.fileno()
    twice = socket.socket()
    twin = socket.socket(fileno=twice.fileno())
    kept["contested"] = [twice, twin]
    facts["contested"] = [hex(id(twice)), hex(id(twin))]
    return facts


class SocketChild(socket.socket):
    __slots__ = ()


def main():
    has_ipv6 = os.path.exists("/proc/self/net/if_inet6") and "00000001 01" in open("/proc/self/net/if_inet6").read()
    kept = {}
    if "--up" in sys.argv:
        os.system("ip link set lo up")
    inet(kept, has_ipv6)
    link_local(kept)
    unix(kept)
    kept["raw object"] = _socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    kept["child"] = SocketChild()
    if ssl is not None:
        tls(kept, kept["listener"])
    owning = owners(kept, kept["listener"])
    if ssl is not None:
        owning["tls"] = asyncio_tls(kept, kept["listener"])
    facts = strays(kept)
    kept["netlink"] = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    kept["netlink"].bind((0, 0))

    def sockets():
        gc.collect()
        found = [one for one in gc.get_objects() if _socket.socket in type(one).__mro__]
        if kept["raw object"] not in found:
            found.append(kept["raw object"])
        stale = set(map(id, kept["stale"]))
        rows = [truth(one) for one in found if id(one) not in stale]
        return {"sockets": rows, "stale": [hex(one) for one in sorted(stale)]}

    facts.update(owners=owning, ipv6=has_ipv6, ssl=ssl is not None, raw=hex(id(kept["raw object"])))
    facts.update(server=text_of(kept["listener"].getsockname(), socket.AF_INET))
    facts.update(abstract="@pyattach\\x01\\x1b[2J-%d" % os.getpid(), close_wait=len(kept["close wait"]))
    facts.update(quiet=kept["quiet listener"].fileno(), link_local="link local" in kept)
    facts.update(pair=[one.fileno() for one in kept["pair"]])
    facts.update(pair_inodes=[os.fstat(one.fileno()).st_ino for one in kept["pair"]])
    _fixture.serve(facts, {"sockets": sockets})


if __name__ == "__main__":
    main()
