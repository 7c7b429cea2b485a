"""The socket's protocol as AsyncAPI 3.0, made from the typed messages."""

from collections.abc import Iterable
from typing import Any

import msgspec

from server.close_codes import RECONNECT_RULE
from server.core.state.entities import Json
from server.core.wire import client_frames, socket_schema

CLIENT_MESSAGES = (
    client_frames.Hello,
    client_frames.Pong,
    client_frames.Auth,
    client_frames.Viewing,
    client_frames.Typing,
)
_COOKIE = {"type": "httpApiKey", "name": "omni_session", "in": "cookie"}
_SCHEMAS = "#/components/schemas/{name}"
_TEXT = (
    "JSON text frames. Unknown fields and unknown types are ignored by both sides. The first "
    "frame is the client's hello, within 5 s. "
    f"Close codes: {RECONNECT_RULE}."
)
_INFO = {
    "title": "Omni Inbox socket",
    "version": f"{client_frames.PROTOCOL_VERSION}.0.0",
    "description": _TEXT,
    "license": {"name": "MIT"},
}


def document(base_url: str) -> Json:
    """`base_url`: http(s) address without a slash at its end."""
    scheme, _, host = base_url.partition("://")
    kinds = (*CLIENT_MESSAGES, *socket_schema.SERVER_MESSAGES)
    names = _names(kinds)
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_SCHEMAS)
    return {
        "asyncapi": "3.0.0",
        "info": _INFO,
        "defaultContentType": "application/json",
        "servers": {"this": {"host": host, "protocol": "wss" if scheme == "https" else "ws"}},
        "channels": {
            "inbox": {
                "address": "/ws",
                "title": "A company's changes",
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"} for name in names.values()
                },
            }
        },
        "operations": {
            # AsyncAPI speaks from the application's side, which is the server here
            "fromClient": _operation(
                "receive", [names[kind] for kind in CLIENT_MESSAGES], "What a client says"
            ),
            "toClient": _operation(
                "send",
                [names[kind] for kind in socket_schema.SERVER_MESSAGES],
                "What the server says",
            ),
        },
        "components": {
            "messages": {name: _message(kind, name) for kind, name in names.items()},
            "schemas": schemas,
            "securitySchemes": {"cookie": _COOKIE},
        },
    }


def _names(kinds: Iterable[type[msgspec.Struct]]) -> dict[type[msgspec.Struct], str]:
    """The name of its class says which side speaks: the client's types and the server's share some
    tags.
    """
    return {kind: kind.__name__ for kind in kinds}


def _message(kind: type[msgspec.Struct], name: str) -> Json:
    text = (kind.__doc__ or "").strip()
    found: dict[str, Any] = {
        "name": str(kind.__struct_config__.tag),
        "title": name,
        "payload": {"$ref": _SCHEMAS.format(name=name)},
    }
    return found | ({"summary": text} if text and not text.startswith(f"{name}(") else {})


def _operation(action: str, names: Iterable[str], title: str) -> Json:
    return {
        "action": action,
        "title": title,
        "channel": {"$ref": "#/channels/inbox"},
        "messages": [{"$ref": f"#/channels/inbox/messages/{name}"} for name in names],
    }
