"""A client of dRPC that shares no code with the daemon: plain sockets, and protobuf written by hand. Nothing but Python.

    drpc.py control SOCKET UID     is told what to do by lines of JSON on the Unix socket `control`, as this user ("-": as ours)
    drpc.py once SOCKET FRAMING MODULE METHOD SEQUENCE BODY
                                   makes one call, whose body is in hexadecimal, and prints the answer
    drpc.py engine SOCKET FRAMING LISTEN
                                   says that it serves, as instance 2, and listens there; tells by lines what it is called, and
                                   that it gets SIGTERM. It says nothing where LISTEN.deaf is, and an error where LISTEN.ill is

Orders, each answered by a line of JSON:

    {"do": "open", "session": "a", "framing": "raw"}
    {"do": "call", "session": "a", "module": 16, "method": 1605, "sequence": 7, "body": [[1, "web"]]}
    {"do": "send", ...}            the same, without reading the answer
    {"do": "packets", "session": "a", "hex": ["00ff"]}
    {"do": "read", "session": "a"} the next answer, or {"end": true}
    {"do": "close", "session": "a"}

A message is a list of [number, value]: whole numbers, texts, {"hex": "00"}, or lists, which are messages. What comes is told
the same way, as far as it can be known without its description: all that has a length is {"hex": ..., "text": ...}.
"""

import json
import os
import signal
import socket
import struct
import sys

HEADER = struct.Struct("=QQII")
PACKET = 131072
PATIENCE = 30


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def encoded(fields):
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
            continue
        if isinstance(value, str):
            value = value.encode()
        elif isinstance(value, dict):
            value = bytes.fromhex(value["hex"])
        else:
            value = encoded(value)
        out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def take_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            # All numbers here are signed, or small.
            return (number - (1 << 64) if number >> 63 else number), at


def decoded(data):
    fields, at = [], 0
    while at < len(data):
        key, at = take_varint(data, at)
        if key & 7 == 0:
            value, at = take_varint(data, at)
        elif key & 7 == 2:
            length, at = take_varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"wire type {key & 7}")
        fields.append((key >> 3, value))
    return fields


def told(fields):
    def one(value):
        if isinstance(value, int):
            return value
        return {"hex": value.hex(), "text": value.decode(errors="replace")}

    return [[number, one(value)] for number, value in fields]


class Session:
    def __init__(self, path, framing, accepted=None):
        self.chunked = framing == "chunked"
        self.socket = accepted or socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(PATIENCE)
        if accepted is None:
            self.socket.connect(path)

    def send(self, message):
        if not self.chunked:
            self.socket.send(message)
            return
        room = PACKET - HEADER.size
        chunks = [message[at : at + room] for at in range(0, len(message), room)] or [b""]
        for index, chunk in enumerate(chunks):
            self.socket.send(HEADER.pack(len(message), len(chunk), index, len(chunks)) + chunk)

    def receive(self):
        """The next message, and in how many packets it came."""
        data, count = b"", 0
        while True:
            try:
                packet = self.socket.recv(1 << 21)
            except ConnectionError:
                return None, 0
            if not packet:
                return None, 0
            if not self.chunked:
                return packet, 1
            total, size, index, chunks = HEADER.unpack(packet[: HEADER.size])
            assert size == len(packet) - HEADER.size and index == count, "a wrong chunk"
            data, count = data + packet[HEADER.size :], count + 1
            if count == chunks:
                assert total == len(data), "a wrong total"
                return data, count

    def answer(self):
        message, packets = self.receive()
        if message is None:
            return {"end": True}
        fields = dict(decoded(message))
        body = fields.get(3, b"")
        return {
            "sequence": fields.get(1, 0),
            "status": fields.get(2, 0),
            "body": told(decoded(body)),
            "length": len(message),
            "packets": packets,
        }


def call(order):
    body = order.get("body", [])
    body = bytes.fromhex(body) if isinstance(body, str) else encoded(body)
    numbers = [(number, order.get(name, 0)) for number, name in enumerate(("module", "method", "sequence"), 1)]
    fields = [(number, value) for number, value in numbers if value]
    return encoded(fields + ([(4, {"hex": body.hex()})] if body else []))


def carry_out(path, sessions, order):
    what, name = order["do"], order.get("session")
    if what == "open":
        sessions[name] = Session(path, order["framing"])
        return {}
    session = sessions[name]
    if what == "packets":
        for packet in order["hex"]:
            session.socket.send(bytes.fromhex(packet))
        return {}
    if what in ("send", "call"):
        session.send(call(order))
    if what in ("read", "call"):
        return session.answer()
    if what == "close":
        session.socket.close()
        del sessions[name]
    return {}


def serve(control, path, user):
    orders = socket.socket(socket.AF_UNIX)
    orders.connect(control)
    if user != "-":
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
    sessions, lines = {}, orders.makefile("rw")
    for line in lines:
        try:
            said = carry_out(path, sessions, json.loads(line))
        except (OSError, AssertionError, ValueError) as why:
            said = {"failed": f"{type(why).__name__}: {why}"}
        lines.write(json.dumps(said) + "\n")
        lines.flush()


def say(*words):
    print(*words, flush=True)


def end(number, _):
    say("signal", number)
    os._exit(0)


def engine(path, framing, listen):
    signal.signal(signal.SIGTERM, end)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(listen)
    listener.listen()
    ready, unanswered = Session(path, framing), []
    ready.send(call({"module": 3, "method": 301, "sequence": 1, "body": [[1, "tcp://x"], [3, listen], [4, 2]]}))
    say("ready", ready.answer()["status"])
    while True:
        session = Session(None, framing, listener.accept()[0])
        message, _ = session.receive()
        if message is None:
            say("a session without a call")
            continue
        said = dict(decoded(message))
        say("called", said[1], said[2], dict(decoded(said.get(4, b""))).get(1, 0))
        if os.path.exists(listen + ".deaf"):
            unanswered.append(session)
            continue
        status = -1025 if os.path.exists(listen + ".ill") else 0
        session.send(encoded([(1, said[3]), (3, [(1, status)] if status else {"hex": ""})]))


if sys.argv[1] == "engine":
    engine(*sys.argv[2:5])
elif sys.argv[1] == "once":
    at, framing, module, method, sequence, body = sys.argv[2:8]
    once = Session(at, framing)
    numbers = {"module": int(module), "method": int(method), "sequence": int(sequence)}
    once.send(call({**numbers, "body": body}))
    print(json.dumps(once.answer()), flush=True)
else:
    serve(*sys.argv[1:4])
