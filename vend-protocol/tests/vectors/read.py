"""Checks the golden bytes in this folder by docs/spec/wire.md alone, with nothing but Python: `python3 read.py`."""
import pathlib
import re
import zlib


def need(holds, why="refused"):
    if not holds:
        raise ValueError(why)


def read(file):
    """The entries of a file: name, {key: [value]}, and [(path, type, value)] of the fields."""
    entries = []
    for line in (pathlib.Path(__file__).parent / file).read_text("utf-8").splitlines():
        if line.startswith("["):
            entries.append((line[1:-1], {}, []))
        elif line.startswith("  "):
            entries[-1][2].append(re.fullmatch(r"  (.*?): (.*?)(?: = (.*))?", line).groups())
        elif line and not line.startswith("#"):
            key, value = line.split(" =", 1)
            entries[-1][1].setdefault(key, []).append(value.strip())
    need(len({name for name, _, _ in entries}) == len(entries) > 0, f"{file}: a name twice, or none")
    return entries


def varint(number):
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + varint(number >> 7)


def encode(kind, value):
    """The bytes of a field, from its type and its value as they are printed."""
    first, _, rest = value.partition(" ")
    if kind in ("u8", "i8", "bool", "option"):
        return int(value).to_bytes(1, "little", signed=kind == "i8")
    if kind[0] == "i":
        return varint(int(value) << 1 if int(value) >= 0 else ~(int(value) << 1))
    if kind[0] == "u" or kind == "enum":
        return varint(int(first))
    limit = int(re.search(r"\d+", kind)[0])
    if kind[0] == "[":
        need(len(value) == 2 * limit, "an array of another length")
        return bytes.fromhex(value)
    content = rest[1:-1].encode() if kind[0] == "t" else bytes.fromhex(rest)
    need(int(first) <= limit and (kind[0] == "l" or len(content) == int(first)), "a wrong length")
    return varint(int(first)) + content


def take(data, count):
    return bytes(data.pop(0) for _ in range(count))


def take_varint(data, most):
    byte = take(data, 1)[0]
    high = take_varint(data, most >> 7) if byte > 0x7F else 0
    need((high or byte < 0x80) and (byte & 0x7F | high << 7) <= most)
    return byte & 0x7F | high << 7


def decode(kind, data):
    """Takes a value of a type of codec.txt from the data: as it is printed. An error is a refusal."""
    name, limits = re.fullmatch(r"(\w*)(.*)", kind).groups()
    parts = limits[1:-1].split(", ")
    if name in ("u8", "i8"):
        return [str(int.from_bytes(take(data, 1), "little", signed=name == "i8"))]
    if name and name[0] in "ui":
        number = take_varint(data, (1 << int(name[1:])) - 1)
        need(not limits or int(limits.split("..")[0]) <= number <= int(limits.split("..")[1]))
        return [str(number if name[0] == "u" else number >> 1 ^ -(number & 1))]
    if name == "fields":
        return [value for part in parts for value in decode(part, data)]
    if name in ("bool", "option", "cases"):
        cases = parts if name == "cases" else ["nothing", parts[0] or "nothing"]
        case = take_varint(data, len(cases) - 1)
        return [str(case)] + (decode(cases[case], data) if cases[case] != "nothing" else [])
    count = take_varint(data, int(parts[-1])) if name else int(parts[0])
    if name == "list":
        return [str(count)] + [value for _ in range(count) for value in decode(parts[0], data)]
    shown = f'"{take(data, count).decode()}"' if name == "text" else take(data, count).hex()
    return [f"{count} {shown}".strip() if name else shown]


def cobs(frame):
    """What is on the line for a frame."""
    out = b""
    for block in frame.split(b"\0"):
        while len(block) >= 254:
            out, block = out + b"\xff" + block[:254], block[254:]
        out += bytes([len(block) + 1]) + block
    return b"\0" + out + b"\0"


def frames_on(stream, longest=1024):
    """The frames that a receiver finds between zeros."""
    for left in stream.split(b"\0")[:-1]:
        frame = b""
        while left and left[0] <= len(left):
            code, block, left = left[0], left[1:left[0]], left[left[0]:]
            frame += block + (b"\0" if code < 0xFF and left else b"")
        if not left and 0 < len(frame) <= longest:
            yield frame


def check(file, keys, fields):
    """One entry of any file but released.txt."""
    data = {key: bytes.fromhex(values[0]) for key, values in keys.items() if key in "payload code frame line stream bytes"}
    frame, rest, refused = data.get("frame"), bytearray(data.get("bytes", b"")), "refused" in keys
    if "type" in keys:
        try:
            values = decode(keys["type"][0], rest)
            need(not rest)
        except (IndexError, ValueError):
            values = None
        told = None if refused else [value.split()[0] if kind == "enum" else value for _, kind, value in fields]
        return need(values == told, f"is {values}")
    need(keys.get("checksum", [hex(zlib.crc32(rest))]) == [hex(zlib.crc32(rest))], "another checksum")
    need("stream" not in keys or [*map(bytes.hex, frames_on(data["stream"], 256))] == keys.get("frame", []), "other frames")
    if refused:
        other_sum = zlib.crc32(frame[:-4]).to_bytes(4, "little") != frame[-4:]
        return need(len(frame) < 11 if keys["refused"] == ["short"] else other_sum, "is a frame")
    encoded = b"".join(encode(kind, value) for _, kind, value in fields)
    need(not fields or encoded == data["payload"], "the fields are other bytes")
    if "address" in keys:
        sizes = zip(("address", "kind", "revision", "sequence"), (1, 1, 1, 4))
        head = b"".join(int(keys[key][0], 0).to_bytes(size, "little") for key, size in sizes)
        pattern = bytes(range(0xC0, 0xD0)) if (file, keys["address"]) == ("machine_link", ["1"]) else b""
        body = head + data["payload"] + data.get("code", pattern)
        need(body + zlib.crc32(body).to_bytes(4, "little") == frame, "another frame")
        need(len(frame) <= (256 if file == "control_link" else 1024), "too long a frame")
    need("line" not in keys or cobs(frame) == data["line"] and frame in frames_on(data["line"]), "another line")


SALE = "../../../vend-payments/tests/vectors/sale"
FILES = {file: read(f"{file}.txt") for file in ("machine_link", "control_link", "signed_bodies", "codec", "frames", SALE)}
for file, entries in FILES.items():
    for name, keys, fields in entries:
        try:
            check(file, keys, fields)
        except ValueError as error:
            raise SystemExit(f"{file}.txt: [{name}] {error}") from None
bodies = {name: keys["payload"][0] for name, keys, _ in FILES["signed_bodies"]}
for name, keys, _ in FILES["machine_link"]:
    need(not name.endswith(".typical") or bodies.get(name, "") in keys["payload"][0], f"[{name}] holds another body")
for subject, keys, _ in (released := read("released.txt")):
    (file, *_, name), count = subject.split(), int(keys["vectors"][0])
    found = [entry[1]["payload"][0] for entry in FILES[file] if entry[0].split(".")[0] == name][:count]
    checksum = f"{zlib.crc32(bytes.fromhex(''.join(found))):#010x}"
    need((len(found), checksum) == (count, keys["checksum"][0]), f"{subject} was released with other bytes")
print(", ".join(f"{len(entries)} of {file.split('/')[-1]}.txt" for file, entries in FILES.items()), f"and {len(released)} released hold")
