#!/usr/bin/env python3
"""Computes every key, signature, authentication code and hash of sale.txt again, with nothing but Python. What the messages
say and how they are framed is checked by vend-protocol/tests/vectors/read.py."""

import pathlib

from check_session import BASE, compress, ed25519_sign, hmac_sha256, sha512, tag, times, x25519

SIGNED_BY = {
    "vend/key-list/1": "root",
    "vend/hello/1": "machine",
    "vend/accepted/1": "online",
    "vend/authorize/1": "online",
    "vend/receipt/1": "machine",
}


def read():
    """The entries by their names without numbers: {key: value}, and the fields among the keys."""
    entries = {}
    for line in pathlib.Path(__file__).with_name("sale.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            entry = entries.setdefault(line[1:-1].split(".")[1], {})
        elif line and not line.startswith("#"):
            key, value = line.split(" =", 1)
            entry[key.split(":")[0].strip()] = value.strip()
    return entries


def public(seed: bytes) -> bytes:
    """RFC 8032, section 5.1.5."""
    scalar = int.from_bytes(sha512(seed)[:32], "little") & (1 << 254) - 8 | 1 << 254
    return compress(times(scalar, BASE))


def main() -> None:
    entries, checked = read(), 0

    def same(name: str, key: str, computed: bytes) -> None:
        nonlocal checked
        if entries[name][key].split(" ")[-1] != computed.hex():
            raise SystemExit(f"[{name}] {key} is not {computed.hex()}")
        checked += 1

    keys = {key: bytes.fromhex(value) for key, value in entries["keys"].items() if key != "says"}
    for who in ("machine", "online", "root"):
        same("keys", f"{who}_key", public(keys[f"{who}_seed"]))
    for who in ("machine", "server"):
        same("keys", f"{who}_ephemeral", x25519(keys[f"{who}_secret"], (9).to_bytes(32, "little")))

    for name, entry in list(entries.items()):
        if "tag" not in entry:
            continue
        who, body = SIGNED_BY[entry["tag"]], bytes.fromhex(entry["payload"])
        signature = ed25519_sign(keys[f"{who}_seed"], tag(entry["tag"]) + body)
        same(name, "signature", signature)
        if "enrolment" in entry:
            same(name, "enrolment", sha512(keys["machine_key"])[:16])
        if name.endswith("_body"):
            message = name.removesuffix("_body")
            same(message, "body", body)
            same(message, "signature", signature)
            same(message, "key_id", sha512(keys[f"{who}_key"])[:8])

    hello, accepted = (bytes.fromhex(entries[name]["payload"]) for name in ("hello_body", "accepted_body"))
    shared = x25519(keys["machine_secret"], keys["server_ephemeral"])
    hashes = sha512(tag("vend/hello/1"), hello)[:32], sha512(tag("vend/accepted/1"), accepted)[:32]
    prk = hmac_sha256(tag("vend/session/1"), shared)
    up = hmac_sha256(prk, *hashes, b"\1")
    down = hmac_sha256(prk, up, *hashes, b"\2")
    for key, value in zip(("shared", "hello_hash", "accepted_hash", "up", "down"), (shared, *hashes, up, down)):
        same("session_keys", key, value)

    for name, entry in entries.items():
        if "code" in entry:
            header = bytes.fromhex(entry["frame"])[:7]
            key = up if entry["from"] == "machine" else down
            same(name, "code", hmac_sha256(key, header, bytes.fromhex(entry["payload"]))[:16])
    receipt = bytes.fromhex(entries["receipt_body"]["payload"])
    same("acknowledgement", "hash", sha512(tag("vend/receipt/1"), receipt)[:32])
    print(f"sale.txt: {checked} keys, signatures, codes and hashes hold")


if __name__ == "__main__":
    main()
