"""The token bucket: a burst at once, then the rate; the clock may jump back."""

from server.core.token_buckets import Bucket, network_of


def test_a_burst_passes_and_then_the_rate() -> None:
    """Three at once, the fourth after the time one token takes."""
    bucket = Bucket(rate=2.0, burst=3.0, now=100.0)
    assert [bucket.try_take(100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_seconds() == 0.5
    assert bucket.try_take(100.4) is False
    assert bucket.try_take(100.5) is True


def test_what_was_refused_costs_nothing() -> None:
    """Asking for too much leaves what is there."""
    bucket = Bucket(rate=1.0, burst=2.0, now=0.0)
    assert bucket.try_take(0.0, 3.0) is False
    assert bucket.try_take(0.0, 2.0) is True


def test_no_more_than_the_burst_is_saved() -> None:
    """A day of silence earns no flood."""
    bucket = Bucket(rate=1.0, burst=2.0, now=0.0)
    assert [bucket.try_take(86_400.0) for _ in range(3)] == [True, True, False]


def test_a_clock_that_jumps_back_takes_nothing_away() -> None:
    """Neither tokens nor the way forward."""
    bucket = Bucket(rate=1.0, burst=1.0, now=100.0)
    assert bucket.try_take(50.0) is True
    assert bucket.try_take(50.0) is False
    assert bucket.try_take(51.0) is True
    assert bucket.wait_seconds(0.0) == 0.0


def test_a_network_is_one_client() -> None:
    """Of IPv6 everybody has 2^64 addresses; of IPv4 one."""
    assert (
        network_of("2001:db8:1:2:a::1")
        == network_of("2001:db8:1:2:b::2%eth0")
        != network_of("2001:db8:1:3::1")
    )
    assert (network_of("192.0.2.7"), network_of("not: one")) == ("192.0.2.7", "not: one")
