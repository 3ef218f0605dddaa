#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Documents for kunit_tests/sample/kregion_json.c, which is loaded; runs in the VM.

usage: json_sample.py documents|refused|limits|rewind|readers|damage

    documents   are printed byte for byte
    refused     are bad ones, with line, column and reason in the log
    limits      of the size, of writes, of memory
    rewind      leaves no memory of the attempt behind
    readers     see whole documents while writers replace them
    damage      to documents: the answer is that of Python's parser
"""
import ctypes
import errno
import json
import os
import random
import sys
import threading

FILE = "/sys/kernel/debug/kregion_json"
PARAMETERS = "/sys/module/kregion_json/parameters/"
REGIONS = "/sys/kernel/debug/kregion/regions"
MAX_TEXT, MAX_DEPTH = 1 << 16, 32


def write(text):
    """0, or the error of the write."""
    fd = os.open(FILE, os.O_WRONLY)
    try:
        return 0 if os.write(fd, text) == len(text) else errno.EIO
    except OSError as e:
        return e.errno
    finally:
        os.close(fd)


def shown():
    with open(FILE, "rb") as f:
        return f.read()


def set_parameter(name, value):
    with open(PARAMETERS + name, "w", encoding="ascii") as f:
        f.write(str(value))


def regions():
    """The statistics of each region, in the order of their names."""
    with open(REGIONS, encoding="ascii") as f:
        header, *lines = [line.split() for line in f if line[0] != "#"]
    return sorted((dict(zip(header, line)) for line in lines), key=lambda r: r["name"])


def check(good, *what):
    if not good:
        sys.exit(" ".join(map(str, what)))


# ---- Python's parser, and the form in which trees are printed ----------------

class Word(str):
    """A number, as it is written."""


class Members(list):
    """Of an object, in their order, duplicates included."""


def refuse(_):
    raise ValueError


# Bytes outside of ASCII, which need be no UTF-8, are characters of their own.
BYTE = 0x10fe00


def decode(text):
    return "".join(chr(b) if b < 0x80 else chr(BYTE + b) for b in text)


def encode(text):
    """ValueError for half a pair of surrogates."""
    return b"".join(bytes([ord(c) - BYTE]) if ord(c) >= BYTE else c.encode() for c in text)


def dump(value, depth=0):
    if depth > MAX_DEPTH or depth == MAX_DEPTH and isinstance(value, list):
        raise ValueError
    if isinstance(value, Word):
        return value
    if isinstance(value, Members):
        lines = [json.dumps(name, ensure_ascii=False) + ": " + dump(member, depth + 1) for name, member in value]
    elif isinstance(value, list):
        lines = [dump(element, depth + 1) for element in value]
    else:
        return json.dumps(value, ensure_ascii=False)
    first, last = "{}" if isinstance(value, Members) else "[]"
    indent = "\n" + "  " * depth
    return first + ",".join(indent + "  " + line for line in lines) + (indent if lines else "") + last


def expected(text):
    """What is printed of a document, None if it is refused."""
    try:
        value = json.loads(decode(text), parse_int=Word, parse_float=Word, parse_constant=refuse,
                           object_pairs_hook=Members)
        return encode(dump(value)) + b"\n"
    except (ValueError, RecursionError):
        return None


# ---- checks ------------------------------------------------------------------

def long(element):
    """600 integers, and in the middle of them the element."""
    integers = [b"%d" % (i * 7919) for i in range(-300, 300)]
    return b"[" + b", ".join(integers[:300] + [element] + integers[300:]) + b"]"


LONG = long(b"1")
GOOD = [
    b"null", b" true\n", b"false", b"0", b"-0", b"-12.5e+3", b"1E400", b"123456789012345678901234567890",
    b'""', b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\\u0000\\u001f\\u007f\\u00e9\\u20ac\\uD83D\\uDE00"', b'"\xc3\xa9 \xff"',
    b"[]", b"{}", b"[" + b"[[]], {}, " * 40 + b"[[]]]", b'{"a": 1, "a": [2, {"": null}], "b c": "d"}',
    b' { "cpus" : [ 0 , 1 ] , "name" : "\\u00e9" } ',
    LONG, long(b"-0"), long(b"1.0"), b'{"long": %s, "s": 1}' % LONG,
    long(b"9223372036854775807"), long(b"9223372036854775808"), long(b"9" * 40),
    LONG.replace(b"]", b"\n]"), b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, b'"%s"' % (b"x" * 40000),
    b'"%s"' % (b"\\u20ac" * 10000), b"[" + b"1.5," * 3000 + b"2]",
]
BAD = [
    (b"", "1:1: a value expected"), (b"\n\t\n ", "3:2: a value expected"), (b"nul", "1:1: a value expected"),
    (b"[1, 2", "1:6: ',' or ']' expected"), (b"[1 2]", "1:4: ',' or ']' expected"), (b"[1,]", "1:4: a value expected"),
    (b'{"a": 1]', "1:8: ',' or '}' expected"), (b'{"a" 1}', "1:6: ':' expected"), (b"{1: 2}", "1:2: a string expected"),
    (b'{"a": 1,\n }', "2:2: a string expected"), (b"01", "1:2: the end expected"), (b"1 2", "1:3: the end expected"),
    (b"null\0", "1:5: the end expected"), (b"[1\0]", "1:3: ',' or ']' expected"), (b"+1", "1:1: a value expected"),
    (b".5", "1:1: a value expected"), (b"1.", "1:1: a value expected"), (b"1e", "1:1: a value expected"),
    (b"-", "1:1: a value expected"), (b'"abc', "1:5: the end of the string expected"),
    (b'"abc\\', "1:6: the end of the string expected"), (b'"abc\\"', "1:7: the end of the string expected"),
    (b'["a\nb"]', "1:4: the end of the string expected"), (b'"a\0b"', "1:3: the end of the string expected"),
    (b'"\\x"', "1:2: an escape expected"), (b'"\\u12g4"', "1:2: an escape expected"),
    (b'"\\u12"', "1:2: an escape expected"), (b'"\\u123', "1:7: the end of the string expected"),
    (b'"\\ud83d"', "1:8: a pair of surrogates expected"), (b'"\\ude00"', "1:8: a pair of surrogates expected"),
    (b'"\\ud83d\\u0041"', "1:14: a pair of surrogates expected"),
    (b"[" * (MAX_DEPTH + 1), f"1:{MAX_DEPTH + 2}: nested too deep"),
    (b"[" * MAX_TEXT, f"1:{MAX_DEPTH + 2}: nested too deep"),
    (b'{"":' * MAX_DEPTH + b"[]" + b"}" * MAX_DEPTH, f"1:{4 * MAX_DEPTH + 2}: nested too deep"),
    (long(b"x"), f"1:{LONG.index(b' 1,') + 2}: a value expected"),
]


def documents():
    for text in GOOD:
        check(expected(text), "not even for Python:", text[:99])
        check(write(text) == 0, "refused:", text[:99])
        check(shown() == expected(text), "printed:", shown()[:99], "for", text[:99])


def refused():
    """The last document stays."""
    write(b"1")
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    for text, reason in BAD:
        os.lseek(log, 0, os.SEEK_END)
        check(write(text) == errno.EINVAL, "not refused:", text[:99])
        said = os.read(log, 8192).split(b";", 1)[1].split(b"\n")[0].decode()
        check(said == "kregion_json: " + reason, "said:", said, "of", text[:99])
        check(shown() == b"1\n", "the last document has gone:", text[:99])
    os.close(log)


def limits():
    write(b"[1]")
    before = shown()
    check(write(b'"%s"' % (b"x" * (MAX_TEXT - 2))) == 0, "a document of the maximum size")
    check(write(b'"%s"' % (b"x" * (MAX_TEXT - 1))) == errno.EFBIG, "a document that is too large")
    write(b"[1]")
    fd = os.open(FILE, os.O_WRONLY)
    check(os.write(fd, b"[1]") == 3, "a write")
    try:
        os.write(fd, b"[2]")
        check(False, "a second write")
    except OSError as e:
        check(e.errno == errno.ESPIPE, "a second write:", e)
    libc = ctypes.CDLL(None, use_errno=True)
    os.lseek(fd, 0, os.SEEK_SET)
    check(libc.write(fd, ctypes.c_void_p(1), ctypes.c_size_t(10)) < 0 and ctypes.get_errno() == errno.EFAULT,
          "a write of no memory")
    os.close(fd)

    large = b"[" + b"1.5," * 10000 + b"2]"
    set_parameter("limit", 1 << 18)
    check(write(large) == errno.ENOMEM, "beyond the limit")
    check(shown() == before, "the last document has gone")
    check(write(b'{"a": 1}') == 0, "within the limit")
    set_parameter("limit", 1 << 20)
    check(write(large) == 0 and shown() == expected(large), "within a larger limit")


def used(text):
    check(write(text) == 0 and shown() == expected(text), "refused:", text[:99])
    return int(regions()[0]["bytes_used"])


def rewind():
    """The same elements: in one order, the attempt ends at the first of them, in the other one at the last."""
    integers = [b"%d" % i for i in range(5000)]
    early = used(b"[" + b",".join([b"1.5"] + integers) + b"]")
    late = used(b"[" + b",".join(integers + [b"1.5"]) + b"]")
    packed = used(b"[" + b",".join(integers) + b"]")
    print(f"bytes used: {early}, {late} after a late rewind, {packed} of integers alone")
    check(early == late, "the rewind left memory behind")
    check(packed < 16 * len(integers) < early / 2, "the integers take too much")


def readers():
    texts = [LONG, b'"%s"' % (b"x" * 30000), b"[" + b"1.5," * 3000 + b"2]", b"{}"]
    wanted = set(map(expected, texts))
    seen, bad = set(), []
    write(texts[0])
    done = threading.Event()

    def read():
        while not done.is_set():
            text = shown()
            seen.add(len(text))
            if text not in wanted:
                bad.append(text)

    def replace():
        for _ in range(100):
            for text in texts:
                if write(text):
                    bad.append(text)

    reading = [threading.Thread(target=read) for _ in range(3)]
    writing = [threading.Thread(target=replace) for _ in range(2)]
    for thread in reading + writing:
        thread.start()
    for thread in writing:
        thread.join()
    done.set()
    for thread in reading:
        thread.join()
    check(not bad, len(bad), "times:", *(text[:99] for text in bad[:1]))
    check(len(seen) == len(texts), "few documents were seen:", *seen)


SMALL = [text for text in GOOD if len(text) < 5000]
TOKENS = [b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"\\u", b"\\ud83d", b"0", b"-", b".", b"e", b"1.5", b"\0",
          b"\n", b" ", b"\xff", b"true", b"null", b'"a":', b"[" * 40, LONG]


def damaged(rand):
    text = bytearray(rand.choice(SMALL if rand.random() < 0.9 else GOOD))
    for _ in range(rand.randrange(1, 4)):
        at, n = rand.randrange(len(text) + 1), rand.randrange(1, 9)
        how = rand.randrange(5)
        if how == 0:
            text[at:at + 1] = bytes([rand.randrange(256)])
        elif how == 1:
            del text[at:at + n]
        elif how == 2:
            text[at:at] = rand.choice(TOKENS)
        elif how == 3:
            text[at:at] = text[at:at + 4 * n]
        else:
            del text[rand.randrange(len(text) + 1):]
    return bytes(text[:MAX_TEXT])


def damage(runs=3000, seed=12):
    """Half of the documents are in regions with redzones."""
    rand = random.Random(seed)
    good = 0
    before = None
    for i in range(runs):
        if i % 500 == 0:
            set_parameter("debug", i // 500 % 2)
        text = damaged(rand)
        want, got = expected(text), write(text)
        check(got == (0 if want else errno.EINVAL), "answer", got, "to", text)
        if want:
            good += 1
            before = want
        check(before is None or shown() == before, "printed:", shown(), "for", text)
    set_parameter("debug", 0)
    print(f"{runs} damaged documents, {good} of them good")
    check(runs / 10 < good < runs * 9 / 10, "too few are good, or bad")


def main(name="", *args):
    checks = {f.__name__: f for f in (documents, refused, limits, rewind, readers, damage)}
    if name not in checks:
        print(f"usage: json_sample.py {'|'.join(checks)}", file=sys.stderr)
        sys.exit(2)
    checks[name](*map(int, args))
    names = [region["name"] for region in regions()]
    check(names == ["document", "kregion_json"], "regions:", *names)


if __name__ == "__main__":
    main(*sys.argv[1:])
