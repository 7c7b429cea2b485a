"""Replies that Chatwoot refuses, loses or mistakes: the customer gets each at most once, and the
agent is told what became of it.
"""

import re

import pytest

from tests.integration.talk import Talk
from tests.kit.eventually import eventually


async def test_replies_of_an_outage_go_out_in_order_and_say_that_they_are_tried(talk: Talk) -> None:
    """More failures than a number of tries once allowed; nothing for a person to do."""
    talk.sim.switches.set(rate_limited=True)
    for text in ("first", "second"):
        assert (await talk.reply(text)).status_code == 201

    async def told() -> bool:
        own = [
            message
            for message in await talk.company.thread(talk.id)
            if message["senderType"] == "agent"
        ]
        assert [message["deliveryState"] for message in own] == ["sending", "sending"]
        assert (own[0]["deliveryError"] or {}).get("code") == "retrying"
        return True

    await eventually(told, 30)
    talk.sim.switches.set(rate_limited=False)

    async def sent() -> bool:
        own = [
            message
            for message in await talk.company.thread(talk.id)
            if message["senderType"] == "agent"
        ]
        assert [(message["deliveryState"], message["deliveryError"]) for message in own] == [
            ("sent", None)
        ] * 2
        return True

    await eventually(sent, 60)
    assert talk.sent == ["first", "second"]


@pytest.mark.parametrize(
    "switches",
    [{}, {"hang_next": 1, "hang_seconds": 0.6}, {"lose_next": 1}, {"delay_seconds": 0.3}],
    ids=str,
)
@pytest.mark.parametrize("private", [True, False])
async def test_what_chatwoot_stored_as_the_other_kind_has_failed(
    talk: Talk, private: bool, switches: dict[str, object]
) -> None:
    """Whether the answer, the webhook or the look-up tells of it first; it is said, counted, and
    not sent again.
    """
    before = await _mistaken(talk)
    talk.sim.switches.set(mistakes_private=True, **switches)
    await talk.reply("refund approved", private=private)
    (own,) = await talk.ended("failed")
    assert (own["private"], own["deliveryError"]["code"]) == (
        private,
        "stored_public" if private else "stored_private",
    )
    assert (
        await talk.company.http.post(f"{talk.path}/messages/{own['id']}/retry")
    ).status_code == 409
    assert talk.sent == ["refund approved"]

    async def counted() -> bool:
        return await _mistaken(talk) == before + 1

    await eventually(counted)


async def _mistaken(talk: Talk) -> float:
    text = (await talk.company.http.get("/metrics")).text
    counts = re.findall(
        r'^omni_inbox_replies_total\{outcome="mistaken"\} (\S+)', text, re.MULTILINE
    )
    return float(counts[0]) if counts else 0.0


REFUSALS: dict[str, tuple[dict[str, object], str, str]] = {
    "401": ({"unauthorized": True}, "chatwoot_401", "access token"),
    "404": (
        {"fail_next": 1, "fail_status": 404, "fail_writes_only": True},
        "chatwoot_404",
        "no longer exists",
    ),
    "422": (
        {"fail_next": 1, "fail_status": 422, "fail_writes_only": True},
        "chatwoot_422",
        "Chatwoot refused it",
    ),
    "403": (
        {"fail_next": 1, "fail_status": 403, "fail_writes_only": True},
        "chatwoot_403",
        "administrator",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refused_reply_has_failed_with_a_sentence_and_can_be_sent_again(
    talk: Talk, case: str
) -> None:
    """Final answers of Chatwoot: no retry by itself; once the cause is gone, one by hand."""
    switches, code, words = REFUSALS[case]
    talk.sim.switches.set(**switches)
    await talk.reply("again and again")
    (own,) = await talk.ended("failed")
    assert own["deliveryError"]["code"] == code
    assert words in own["deliveryError"]["message"]
    assert talk.sent == []
    talk.sim.switches.reset()
    answer = await talk.company.http.post(f"{talk.path}/messages/{own['id']}/retry")
    assert (answer.status_code, answer.json()["deliveryState"], answer.json()["deliveryError"]) == (
        200,
        "sending",
        None,
    )
    (again,) = await talk.ended("sent")
    assert (again["id"], again["deliveryError"], talk.sent) == (
        own["id"],
        None,
        ["again and again"],
    )


async def test_only_a_failed_reply_can_be_sent_again(talk: Talk) -> None:
    """409 for one that arrived and for the customer's own words, 404 for nothing."""
    await talk.reply("done")
    (own,) = await talk.ended("sent")
    customer = (await talk.company.thread(talk.id))[0]
    for number, status in ((own["id"], 409), (customer["id"], 409), (own["id"] + 1000, 404)):
        assert (
            await talk.company.http.post(f"{talk.path}/messages/{number}/retry")
        ).status_code == status
    assert talk.sent == ["done"]


AMBIGUOUS: dict[str, dict[str, object]] = {
    "no answer after it was accepted": {"hang_next": 1},
    "the answer was lost": {"lose_next": 1},
    "502 after it was accepted": {
        "fail_next": 1,
        "fail_after_commit": True,
        "fail_status": 502,
        "fail_writes_only": True,
    },
    "500 before it was accepted": {"fail_next": 1, "fail_writes_only": True},
    "half an answer": {"truncate_next": 1},
}


@pytest.mark.parametrize("webhooks", ["with its webhook", "without its webhook"])
@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_an_unknown_outcome_ends_with_exactly_one_message(
    talk: Talk, case: str, webhooks: str
) -> None:
    """Looked up by its marker, and sent again only if it is not there: the customer gets it once,
    the agent sees one bubble.
    """
    talk.sim.switches.set(
        drop_rate=0.0 if webhooks == "with its webhook" else 1.0, **AMBIGUOUS[case]
    )
    await talk.reply("exactly once")
    (own,) = await talk.ended("sent")
    assert talk.sent == ["exactly once"]
    assert own["chatwootMessageId"] == talk.there.messages[-1].id


async def test_a_refused_question_does_not_make_a_reply_unsent(talk: Talk) -> None:
    """Its answer was lost, and then the token was refused when Chatwoot was asked about it: sent
    again by a person, it is searched first.
    """
    sim = talk.sim
    sim.switches.set(lose_next=1, drop_next=100, fail_matching="/messages?after=")
    await talk.reply("Of course")

    async def arrived() -> bool:
        return talk.sent == ["Of course"]

    await eventually(arrived, 30)
    token = sim.admin.access_token
    del sim.tokens[token]
    sim.switches.set(fail_matching="")
    (failed,) = await talk.ended("failed", limit=60)
    assert failed["deliveryError"]["code"] == "chatwoot_401"
    sim.tokens[token] = sim.admin
    answer = await talk.company.http.post(f"{talk.path}/messages/{failed['id']}/retry")
    assert answer.is_success, answer.text
    await talk.ended("sent", limit=60)
    assert talk.sent == ["Of course"]
