"""A second implementation of an action's key, and of BLAKE3, made from their descriptions alone.

Reads JSON lines from standard input and prints a digest for each: of an action's key (the encoding that
engine/execution/src/key.rs describes) or, for {"bytes": "<hexadecimal>"}, of bytes.
BLAKE3 is written from its paper: J. O'Connor, J.-P. Aumasson, S. Neves, Z. Wilcox-O'Hearn, "BLAKE3", section 2.
"""

import json
import struct
import sys

MASK = 0xFFFFFFFF
IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8


def mix(v, a, b, c, d, x, y):
    v[a] = (v[a] + v[b] + x) & MASK
    v[d] ^= v[a]
    v[d] = (v[d] >> 16 | v[d] << 16) & MASK
    v[c] = (v[c] + v[d]) & MASK
    v[b] ^= v[c]
    v[b] = (v[b] >> 12 | v[b] << 20) & MASK
    v[a] = (v[a] + v[b] + y) & MASK
    v[d] ^= v[a]
    v[d] = (v[d] >> 8 | v[d] << 24) & MASK
    v[c] = (v[c] + v[d]) & MASK
    v[b] ^= v[c]
    v[b] = (v[b] >> 7 | v[b] << 25) & MASK


def compress(chaining, block, counter, length, flags):
    """The first eight words of the compression function's output."""
    m = struct.unpack("<16I", block.ljust(64, b"\0"))
    v = chaining + IV[:4] + [counter & MASK, counter >> 32, length, flags]
    for round_ in range(7):
        mix(v, 0, 4, 8, 12, m[0], m[1])
        mix(v, 1, 5, 9, 13, m[2], m[3])
        mix(v, 2, 6, 10, 14, m[4], m[5])
        mix(v, 3, 7, 11, 15, m[6], m[7])
        mix(v, 0, 5, 10, 15, m[8], m[9])
        mix(v, 1, 6, 11, 12, m[10], m[11])
        mix(v, 2, 7, 8, 13, m[12], m[13])
        mix(v, 3, 4, 9, 14, m[14], m[15])
        if round_ < 6:
            m = [m[place] for place in PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)]


def chunk(data, counter, last):
    """The chaining value of a chunk of at most 1024 bytes."""
    blocks = [data[at : at + 64] for at in range(0, len(data), 64)] or [b""]
    value = IV
    for number, block in enumerate(blocks):
        flags = (CHUNK_START if number == 0 else 0) | (CHUNK_END | last if number == len(blocks) - 1 else 0)
        value = compress(value, block, counter, len(block), flags)
    return value


def node(data, counter, last):
    """The chaining value of a tree: its left part is the greatest power of two of whole chunks that leaves a rest."""
    if len(data) <= 1024:
        return chunk(data, counter, last)
    left = 1024
    while left * 2 < len(data):
        left *= 2
    values = node(data[:left], counter, 0) + node(data[left:], counter + left // 1024, 0)
    return compress(IV, struct.pack("<16I", *values), 0, 64, PARENT | last)


def blake3(data):
    return struct.pack("<8I", *node(data, 0, ROOT))


SEMANTICS = 4
FIXED = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PATH": "/bin",
    "SOURCE_DATE_EPOCH": "946684800",
    "TMPDIR": "/tmp",
    "TZ": "UTC",
}


def number(value):
    return struct.pack("<Q", value)


def text(value):
    data = value.encode()
    return number(len(data)) + data


def sequence(elements):
    return number(len(elements)) + b"".join(elements)


def option(value):
    return sequence([] if value is None else [text(value)])


def content(value):
    return number(["file", "executable", "tree"].index(value["is"])) + bytes.fromhex(value["digest"])


def by_bytes(pairs):
    return sorted(pairs, key=lambda pair: pair[0].encode())


def expansion(value):
    layout = value["layout"]
    data = number(value["at"])
    data += sequence(
        [number(0) + text(one["Word"]) if "Word" in one else number(1) + text(one["Files"]) for one in value["values"]]
    )
    for name in ["name", "format_each", "before_each", "terminate_with"]:
        data += option(layout[name])
    joined = layout["joined"]
    data += sequence([] if joined is None else [text(joined[0]) + option(joined[1])])
    return data + number(1 if layout["uniquify"] else 0) + number(1 if layout["omit_if_empty"] else 0)


def expansions(action):
    return sequence([expansion(value) for value in action["expansions"]])


def spawn(action, inputs):
    env = {**FIXED, **action["env"]}
    yield sequence([text(argument) for argument in action["argv"]])
    yield expansions(action)
    yield sequence([text(name) + text(value) for name, value in by_bytes(env.items())])
    yield text("no root") if action["root"] is None else text("root") + content(inputs[action["root"]])
    yield number(1 if action["network"] else 0)
    yield option(action["stdin"])
    yield option(action["stdout"])
    yield number(1 if action["test"] else 0)
    yield number(1 if action["executable_outputs"] else 0)
    for limit in action["limits"]:
        yield sequence([] if limit is None else [number(limit)])


def write(action, inputs):
    yield text(action["content"])
    yield expansions(action)
    yield number(1 if action["executable"] else 0)


def copy(action, inputs):
    yield text(action["source"])


def tree(action, inputs):
    yield sequence([text(place) + text(path) for place, path in action["entries"]])


def builtin(action, inputs):
    yield text(action["name"])
    yield number(action["version"])
    yield text(json.dumps(action["params"], separators=(",", ":"), sort_keys=True, ensure_ascii=False))


KINDS = {"spawn": spawn, "write": write, "copy": copy, "tree": tree, "builtin": builtin}


def key(action):
    inputs = {path: value for path, value in action["inputs"]}
    data = text("action") + number(SEMANTICS)
    data += text(action["kind"])
    data += b"".join(KINDS[action["kind"]](action, inputs))
    data += sequence([text(path) + content(value) for path, value in by_bytes(inputs.items())])
    data += sequence([text(path) + number(1 if is_tree else 0) for path, is_tree in action["outputs"]])
    return blake3(data)


for line in sys.stdin:
    request = json.loads(line)
    print((blake3(bytes.fromhex(request["bytes"])) if "bytes" in request else key(request)).hex())
