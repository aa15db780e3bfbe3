"""How are entries bound to each other: the leaf of an image, the link to the one before?

The chain and the tree (`merkle.py`) stand on the same leaves. The prefixes keep the three
hashes apart: 0x00 a leaf, 0x01 a node of the tree, 0x02 a link of the chain.
Source: RFC 6962 section 2.1 for the leaf; docs/algorithms/chain-and-tree.md for the link.
Golden: tests/golden/ledger_chain.json.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
LEAF_PREFIX: Final = b"\x00"
LINK_PREFIX: Final = b"\x02"
CHAIN_DOMAIN: Final = b"o10-chain-v1\n"


def leaf(image: bytes) -> bytes:
    """What is the leaf hash of this canonical image (32 bytes)?"""
    return sha256(LEAF_PREFIX + image).digest()


def link(previous: bytes, entry_leaf: bytes) -> bytes:
    """What is the chain hash after this leaf, given the one before it (both 32 bytes)?"""
    return sha256(LINK_PREFIX + previous + entry_leaf).digest()


def chain_start(origin: str) -> bytes:
    """What is the chain hash of the empty ledger of this origin?"""
    return sha256(CHAIN_DOMAIN + origin.encode() + b"\n").digest()
