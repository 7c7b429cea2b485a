"""Webhook requests as Chatwoot sends them, made ready before the measurement: what counts is the
server's time.
"""

import functools
import itertools
import time
from collections.abc import Iterator

from tests.kit.webhook import (
    delivery_of,
    encode_body,
    realistic_payload,
    simple_payload,
)

SECRET = "the secret of the bench's integrations"
FIRST_ACCOUNT = 100  # company n has account FIRST_ACCOUNT + n and inbox 12
CONVERSATIONS = 200
_BODY_BYTES = 4_000
_PLACE_NUMBER = 100_000_000
_PLACE = b"%09d" % _PLACE_NUMBER
_numbers = itertools.count(1)


def account_of(company_id: int) -> int:
    return FIRST_ACCOUNT + company_id


def realistic_body(
    number: int, *, company_id: int = 1, conversations: int = CONVERSATIONS
) -> bytes:
    """About 4 KB, with a message id of its own."""
    template = _template(1 + number % conversations, company_id, int(time.time()))
    return template.replace(_PLACE, b"%09d" % (_PLACE_NUMBER + number))


@functools.lru_cache(maxsize=4 * CONVERSATIONS)
def _template(conversation: int, company_id: int, second: int) -> bytes:
    """A conversation's body of this second, with a place for the number: to encode each anew would
    make the load the limit.
    """
    account = {"id": account_of(company_id), "name": "Northwind Support"}
    changes = {
        "id": _PLACE_NUMBER,
        "account": account,
        "content": f"#{_PLACE_NUMBER} Hello, where is order {_PLACE_NUMBER}?",
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + ".000Z",
        "conversation": {
            "id": conversation,
            "account": account,
            "inbox_id": 12,
            "updated_at": float(second),
            "unread_count": 10,
        },
        "sender": {"custom_attributes": {"note": "n" * 400}},
    }
    body = encode_body(realistic_payload("message_created.incoming", changes))
    missing = _BODY_BYTES - len(body)
    return body.replace(b"n" * 400, b"n" * (400 + max(0, missing)), 1)


def simple_body(number: int, *, company_id: int = 1, conversations: int = CONVERSATIONS) -> bytes:
    """The documented small one: its events are as small as events get."""
    return encode_body(
        simple_payload(
            f"#{number} Hello there",
            conversation_id=1 + number % conversations,
            contact_id=1 + number % conversations,
            account_id=account_of(company_id),
            identifier=None,
        )
    )


def webhook_request(body: bytes, *, is_fresh: bool = False) -> bytes:
    delivery = delivery_of(body, secret=SECRET)
    lines = [
        "POST /api/webhooks/chatwoot HTTP/1.1",
        "Host: 127.0.0.1",
        "Accept: application/json",
        "User-Agent: Chatwoot",
    ]
    lines += [f"{name}: {value}" for name, value in delivery.headers.items()]
    lines += [f"Content-Length: {len(body)}"] + (["Connection: close"] if is_fresh else [])
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def requests(
    count: int,
    *,
    is_simple: bool = False,
    companies: int = 1,
    conversations: int = CONVERSATIONS,
    is_fresh: bool = False,
) -> Iterator[bytes]:
    """That many requests, each another message, made now; more of them are made when they are asked
    for.
    """
    make = simple_body if is_simple else realistic_body

    def one() -> bytes:
        number = next(_numbers)
        return webhook_request(
            make(number, company_id=1 + number % companies, conversations=conversations),
            is_fresh=is_fresh,
        )

    ready = [one() for _ in range(count)]
    return itertools.chain(ready, (one() for _ in itertools.count()))


def company_of(request: bytes) -> int:
    at = request.index(b'"account":{"id":') + 16
    return int(request[at : request.index(b"}", at)].partition(b",")[0]) - FIRST_ACCOUNT


def number_of(request: bytes) -> int:
    """The number in the message's text."""
    at = request.index(b'"content":"#') + 12
    return int(request[at : request.index(b" ", at)])
