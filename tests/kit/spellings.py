"""The same text as another keyboard, another telephone or another hand writes it."""

import random
import unicodedata

PAIRS = {  # what was written -> what is looked for
    "yya as one letter": ("\u0995\u09be\u099c \u09b9\u09df\u09a8\u09bf", "\u09b9\u09df"),
    "yya as two": ("\u0995\u09be\u099c \u09b9\u09af\u09bc\u09a8\u09bf", "\u09b9\u09df"),
    "rra as one letter": (
        "\u09ac\u09be\u09dc\u09bf \u0995\u09cb\u09a5\u09be\u09af",
        "\u09ac\u09be\u09dc\u09bf",
    ),
    "rra looked for as two": (
        "\u09ac\u09be\u09dc\u09bf \u0995\u09cb\u09a5\u09be\u09af",
        "\u09ac\u09be\u09a1\u09bc\u09bf",
    ),
    "rha as one letter": ("\u0997\u09be\u09dd \u09b0\u0982", "\u0997\u09be\u09a2\u09bc"),
    "o-kar as two signs": (
        "\u09ad\u09be\u09b2\u09c7\u09be \u09b2\u09be\u0997\u09c7",
        "\u09ad\u09be\u09b2\u09cb",
    ),
    "o-kar looked for as two signs": ("\u09ad\u09be\u09b2\u09cb", "\u09ad\u09be\u09b2\u09c7\u09be"),
    "au-kar as two signs": ("\u09a8\u09c7\u09d7\u0995\u09be", "\u09a8\u09cc\u0995\u09be"),
    "khanda ta as three": ("\u09b9\u09a0\u09be\u09a4\u09cd\u200d", "\u09b9\u09a0\u09be\u09ce"),
    "with a joiner": ("\u09b0\u200d\u09cd\u09af\u09be\u09ac", "\u09b0\u09cd\u09af\u09be\u09ac"),
    "accent apart": ("Le\u0301a wrote", "L\u00e9a"),
    "accent left out": ("caf\u00e9 cr\u00e8me", "cafe creme"),
    "accent in capitals": ("\u00c9clair", "\u00e9clair"),
    "Cyrillic case": (
        "\u041f\u0440\u0438\u0432\u0435\u0442",
        "\u043f\u0420\u0418\u0412\u0415\u0422",
    ),
    "Bengali digits": ("order \u09ee\u09ed\u09e7\u09e8", "8712"),
    "Latin digits": ("order 8712", "\u09ee\u09ed\u09e7\u09e8"),
    "a telephone's quotes": ("I don\u2019t know", "don't"),
    "space that does not break": ("total\u00a050\u00a0\u09f3", "total 50 \u09f3"),
    "across lines": ("first line\nsecond", "line second"),
    "after a NUL": ("before\x00behind", "behind"),
    "full width": ("\uff21\uff22\uff23", "abc"),
}


def respelt(text: str, chance: random.Random) -> str:
    """Other code points for the same words."""
    words = [_word(word, chance) for word in text.split()]
    return chance.choice((" ", "  ", "\u00a0", "\n")).join(words)


def _word(word: str, chance: random.Random) -> str:
    word = unicodedata.normalize(chance.choice(("NFC", "NFD")), word)
    return "".join(_letter(letter, chance) for letter in word)


def _letter(letter: str, chance: random.Random) -> str:
    letter = unicodedata.normalize(chance.choice(("NFC", "NFD")), letter)
    if letter.isascii() and letter.isdigit():
        return chr(chance.choice((0x30, 0x09E6, 0x0966, 0x0660)) + int(letter))
    letter = chance.choice((letter, letter.upper(), letter.lower()))
    return letter + chance.choice(("", "", "", "\u200c", "\u200d", "\u200b"))
