"""What processes say to each other over the bus of access that was withdrawn. A message can only
withdraw; access that is granted is read from the database.
"""

import msgspec

_MAX_ENTRIES = 500  # in one message


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """What an agent may do, as their row says."""

    agent_id: int
    is_active: bool
    is_admin: bool
    valid_after_us: int


class Withdrawals(msgspec.Struct, frozen=True, omit_defaults=True):
    """Agents whose rights were withdrawn or changed, and sessions that were ended."""

    agents: tuple[Standing, ...] = ()
    sessions: tuple[str, ...] = ()  # keys of ended ones


_decoder = msgspec.json.Decoder(Withdrawals)


def encode_withdrawals(agents: list[Standing], sessions: list[str]) -> list[str]:
    """Messages of bounded size."""
    return [
        msgspec.json.encode(
            Withdrawals(
                tuple(agents[at : at + _MAX_ENTRIES]), tuple(sessions[at : at + _MAX_ENTRIES])
            )
        ).decode()
        for at in range(0, max(len(agents), len(sessions)), _MAX_ENTRIES)
    ]


def parse_withdrawals(text: str) -> Withdrawals:
    """Raises ValueError for what is none of this version."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
