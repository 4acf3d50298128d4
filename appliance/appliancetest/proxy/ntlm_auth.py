#!/usr/bin/python3
"""A helper of squid that checks NTLMv2 (MS-NLMP, section 3.3.2) for one person: squid's own one takes anything, and speaks a form that nobody uses any more.

squid writes "YR TOKEN" for the first message of a connection and "KK TOKEN" for the second; the answers are "TT CHALLENGE", "AF NAME" or "NA REASON".
"""

import base64
import hashlib
import hmac
import os
import struct
import sys

USER = "ada"
# MD4 of the password as UTF-16: printf lovelace | iconv -t utf-16le | openssl dgst -md4 -provider legacy -provider default
HASH = bytes.fromhex("de2f475bea23d31cd68e820c9f073a57")

UNICODE, NTLM, SIGN, TARGET_DOMAIN, EXTENDED, TARGET_INFO, VERSION = 0x1, 0x200, 0x8000, 0x10000, 0x80000, 0x800000, 0x2000000


def challenge(nonce):
    name = "LAB".encode("utf-16le")
    info = struct.pack("<HH", 2, len(name)) + name + struct.pack("<HH", 0, 0)
    flags = UNICODE | NTLM | SIGN | TARGET_DOMAIN | EXTENDED | TARGET_INFO | VERSION
    head = b"NTLMSSP\0" + struct.pack("<IHHII", 2, len(name), len(name), 56, flags) + nonce + bytes(8)
    head += struct.pack("<HHI", len(info), len(info), 56 + len(name)) + bytes([10, 0, 0, 0, 0, 0, 0, 15])
    return head + name + info


def field(message, at):
    size, _, offset = struct.unpack_from("<HHI", message, at)
    return message[offset : offset + size]


def check(message, nonce):
    response, domain, user = field(message, 20), field(message, 28), field(message, 36)
    name = user.decode("utf-16le")
    if name.lower() != USER:
        raise ValueError("unknown")
    key = hmac.new(HASH, name.upper().encode("utf-16le") + domain, hashlib.md5).digest()
    proof = hmac.new(key, nonce + response[16:], hashlib.md5).digest()
    if not hmac.compare_digest(proof, response[:16]):
        raise ValueError("wrong password")
    return name


nonce = b""
for line in sys.stdin:
    kind, _, text = line.strip().partition(" ")
    if kind == "YR":
        nonce = os.urandom(8)
        print("TT", base64.b64encode(challenge(nonce)).decode(), flush=True)
        continue
    try:
        print("AF", check(base64.b64decode(text), nonce), flush=True)
    except Exception as err:  # whatever is sent, squid gets an answer
        print("NA", str(err).replace("\n", " ") or "wrong", flush=True)
