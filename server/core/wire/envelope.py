"""What travels on the bus belongs to one installation and says so: its channels carry the
installation's name, its messages a signature.

Redis' channels know no database numbers, and whoever reaches Redis may publish: without the
signature, events into any company.
"""

import hashlib
import hmac

import msgspec

_VERSION = "s1 "
_MAC_BYTES = 16


class Installation(msgspec.Struct, frozen=True):
    """All processes on one database. `key` signs; neither tells anything of the other."""

    name: str
    key: bytes

    def channel(self, topic: str) -> str:
        """Return the name of a bus channel that no other installation on the same Redis uses."""
        return f"omni.{self.name}.{topic}"

    def seal(self, channel: str, message: str) -> str:
        """The message with a signature that fits this channel alone: a company's events are no
        other company's.
        """
        return f"{_VERSION}{self._sign(channel, message)} {message}"

    def open(self, channel: str, text: str) -> str:
        """The message. Raises ValueError for what was not sealed by this installation for this
        channel.
        """
        signature, _, message = text.removeprefix(_VERSION).partition(" ")
        if not text.startswith(_VERSION) or not hmac.compare_digest(
            signature.encode(), self._sign(channel, message).encode()
        ):
            raise ValueError("not sealed by this installation")
        return message

    def _sign(self, channel: str, message: str) -> str:
        signed = hashlib.blake2b(channel.encode(), digest_size=_MAC_BYTES, key=self.key)
        signed.update(b"\0")
        signed.update(message.encode("utf-8", "surrogatepass"))
        return signed.hexdigest()


def derive(name: str, secret: str, place: str) -> Installation:
    """`place` is the database's own name: a copy of a database under another name is another
    installation.
    """
    about = f"{name}\0{place}".encode()
    digest = hashlib.blake2b(about, key=secret.encode()[:64], digest_size=48).digest()
    return Installation(digest[:8].hex(), digest[16:])
