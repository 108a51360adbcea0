"""From text to numbers: hashed words and word pairs."""

import re
import zlib

DIMENSIONS = 4096
"""How many features there are."""

_WORD = re.compile(r"[a-z']+")


def features(text: str) -> list[int]:
    """The sorted indices of the features that the text has."""
    words = _WORD.findall(text.lower())
    pairs = [f"{first} {second}" for first, second in zip(words, words[1:])]
    return sorted({zlib.crc32(term.encode()) % DIMENSIONS for term in words + pairs})
