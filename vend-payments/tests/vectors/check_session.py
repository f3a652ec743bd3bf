#!/usr/bin/env python3
"""Computes session.txt again: X25519 (RFC 7748), Ed25519 (RFC 8032), HKDF (RFC 5869) and HMAC (RFC 2104), written down
from their texts with nothing but hashlib and hmac. Slow and not constant in time: for checking only."""

import hashlib
import hmac
import pathlib
import sys

P = 2**255 - 19


def x25519(secret: bytes, point: bytes) -> bytes:
    """RFC 7748, section 5."""
    k = int.from_bytes(secret, "little") & ~7 & ~(1 << 255) | 1 << 254
    u = int.from_bytes(point, "little") & ~(1 << 255)
    x1, x2, z2, x3, z3, swap = u % P, 1, 0, u % P, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def sha512(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).digest()


# RFC 8032, sections 5.1.4 to 5.1.6, in extended coordinates.
D = -121665 * pow(121666, P - 2, P) % P
L = 2**252 + 27742317777372353535851937790883648493
BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(scalar: int, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def compress(point) -> bytes:
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    digest = sha512(seed)
    scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    public = compress(times(scalar, BASE))
    r = int.from_bytes(sha512(digest[32:], message), "little") % L
    commitment = compress(times(r, BASE))
    k = int.from_bytes(sha512(commitment, public, message), "little") % L
    return commitment + ((r + k * scalar) % L).to_bytes(32, "little")


def hmac_sha256(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def tag(text: str) -> bytes:
    return text.encode().ljust(16, b"\0")


def recompute(given: dict) -> dict:
    base = (9).to_bytes(32, "little")
    hello, accepted = given["hello_body"], given["accepted_body"]
    out = {
        "machine_ephemeral": x25519(given["machine_secret"], base),
        "server_ephemeral": x25519(given["server_secret"], base),
        "hello_signature": ed25519_sign(given["machine_seed"], tag("vend/hello/1") + hello),
        "accepted_signature": ed25519_sign(given["server_seed"], tag("vend/accepted/1") + accepted),
        "hello_hash": sha512(tag("vend/hello/1"), hello)[:32],
        "accepted_hash": sha512(tag("vend/accepted/1"), accepted)[:32],
        "salt": tag("vend/session/1"),
    }
    out["shared"] = x25519(given["machine_secret"], out["server_ephemeral"])
    if out["shared"] != x25519(given["server_secret"], out["machine_ephemeral"]):
        raise SystemExit("the two ends do not agree")
    if out["machine_ephemeral"] not in hello or out["server_ephemeral"] not in accepted:
        raise SystemExit("a body does not carry its ephemeral key")
    out["prk"] = hmac_sha256(out["salt"], out["shared"])
    info = out["hello_hash"] + out["accepted_hash"]
    out["up"] = hmac_sha256(out["prk"], info, b"\1")
    out["down"] = hmac_sha256(out["prk"], out["up"], info, b"\2")
    for end in ("up", "down"):
        out[end + "_code"] = hmac_sha256(out[end], given[end + "_message"])[:16]
    return out


def main() -> None:
    # RFC 7748, section 6.1: this file's own X25519 is right before it judges another.
    secret = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    public = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    if x25519(secret, (9).to_bytes(32, "little")) != public:
        raise SystemExit("this file's X25519 is wrong")
    path = pathlib.Path(__file__).with_name("session.txt")
    lines = (line.split(" = ") for line in path.read_text().splitlines() if " = " in line and line[0] != "#")
    given = {name: bytes.fromhex(value) for name, value in lines}
    wrong = [name for name, value in recompute(given).items() if given[name] != value]
    for name in wrong:
        print(f"{name}: not what is computed here")
    print(f"{path.name}: {len(given)} values, {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
