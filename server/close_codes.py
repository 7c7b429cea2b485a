"""The codes that sockets are closed with: number, text of the close frame, when each is sent.

What a client does follows from the number alone, so that one which does not know a code acts right:

- 4000-4099: final. It does not connect again by itself.
- 4100-4199: it connects again with backoff, and resumes with its cursor.
- 4200-4299: it connects again at once, and resumes with its cursor.
- any other code: as 4100-4199.

docs/errors.md lists them with these very sentences (a test compares).
"""

import enum

RECONNECT_RULE = "4000-4099 final, 4100-4199 back off first, 4200-4299 resume now with the cursor"
_FINAL = range(4000, 4100)


class CloseCode(enum.IntEnum):
    """`reason` is the close frame's text where the caller has none more exact; `meaning` says when
    it is sent, or seen from a client.
    """

    reason: str
    meaning: str

    def __new__(cls, number: int, reason: str, meaning: str) -> "CloseCode":
        code = int.__new__(cls, number)
        code._value_ = number
        code.reason = reason
        code.meaning = meaning
        return code

    # RFC 6455, section 7.4
    NORMAL = 1000, "", "the client closed"
    GOING_AWAY = 1001, "", "the client went away"
    PROTOCOL_ERROR = 1002, "", "the client broke the WebSocket protocol"
    UNSUPPORTED_DATA = 1003, "text only", "a binary message"
    NO_STATUS = 1005, "", "the client closed without a code"
    ABNORMAL = 1006, "", "the connection broke; nobody said anything"
    INVALID_TEXT = 1007, "invalid UTF-8", "text that is not UTF-8"
    MESSAGE_TOO_BIG = 1009, "", "a message that is too long"
    INTERNAL_ERROR = 1011, "internal", "a mistake of the server"
    SERVICE_RESTART = (
        1012,
        "restart",
        "the server stops, with `DRAIN_SECONDS` 0 or before the socket's `welcome`",
    )

    # ours, final
    PROTOCOL = (
        4001,
        "protocol",
        "not understood: no `hello` in time, a field of the wrong type, "
        "a cursor that never was one",
    )
    NOT_ALLOWED = (
        4003,
        "access withdrawn",
        "not allowed: access was withdrawn, or the page is a foreign one",
    )
    CLIENT_TOO_OLD = (
        4010,
        "client too old",
        "too old a client: its `version` in `hello` is below the oldest this server speaks",
    )

    # ours, back off first
    TOO_FAST = (
        4108,
        "too fast",
        "too many messages from the client (20 a second, 60 at once)",
    )
    OVERLOADED = (
        4113,
        "overloaded",
        "the server cannot take it right now: too many sockets, or no database",
    )
    TOO_MANY = (
        4129,
        "too many",
        "too many sockets of this agent (`SOCKETS_PER_AGENT`) or company (`SOCKETS_PER_COMPANY`), "
        "or of this address before signing in (`STRANGERS_PER_ADDRESS`)",
    )

    # ours, resume now
    DRAIN = (
        4200,
        "drain",
        "drain: the server stops, and the client did not go when `drain` asked it to",
    )
    SIGN_IN_EXPIRED = 4205, "sign-in expired", "the sign-in has expired, or there was none"
    SLOW = 4208, "slow", "slow (`SLOW_SOCKET_SECONDS`) or silent (`SOCKET_SILENCE_SECONDS`)"
    GAP = 4210, "gap", "gap. Reserved: this version repairs gaps without closing"


_numbers = frozenset(map(int, CloseCode))


def is_final(code: int) -> bool:
    """Whether a client that is closed with it does not come back by itself."""
    return code in _FINAL


def metric_label(code: int) -> str:
    """The number, or `other` for one that a client made up: labels are few."""
    return str(int(code)) if code in _numbers else "other"
