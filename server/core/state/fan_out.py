"""When a company's events were written to the sockets of one process."""

import msgspec


class FanOut(msgspec.Struct, frozen=True):
    """Events `first_seq` to `last_seq` of a company were written to `sockets` sockets of one
    process, the first at `first_us` and the last at `last_us` (unix microseconds).
    """

    company_id: int
    first_seq: int
    last_seq: int
    first_us: int
    last_us: int
    sockets: int
