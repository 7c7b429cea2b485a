"""A small, lifelike data set for the simulated Chatwoot: a shop's customers, writing in Bengali and
English.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from server.lab.chatwoot_sim import samples
from server.lab.chatwoot_sim.model import Conversation, Inbox, User
from server.lab.chatwoot_sim.state import ChatwootSim

# Buttons of the page: one press, one message
SENTENCES = (
    "আসসালামু আলাইকুম, অর্ডারটা কবে পাবো?",
    "দাম কত?",
    "ডেলিভারি চার্জ কত ঢাকার বাইরে?",
    "ধন্যবাদ, পেয়ে গেছি 🙏",
    "Hello, where is my order?",
    "Can I exchange it for a larger size?",
    "Is this still in stock?",
    "Thank you so much!",
)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a script: `who` is c(ustomer), a(gent), n(ote) or p(icture by the customer, with
    or without text).
    """

    who: str
    text: str


@dataclass(frozen=True, slots=True)
class _Script:
    customer: str
    hours_ago: float
    lines: tuple[_Line, ...]
    status: str = "open"
    labels: tuple[str, ...] = ()
    is_assigned: bool = False
    priority: str | None = None


def _script(customer: str, hours_ago: float, *lines: str, **more: object) -> _Script:
    """Lines as `"c: text"`, oldest first."""
    parts = (line.partition(": ") for line in lines)
    return _Script(customer, hours_ago, tuple(_Line(who, text) for who, _, text in parts), **more)  # type: ignore[arg-type]


_SCRIPTS = (
    _script(
        "রহিমা খাতুন",
        0.1,
        "c: আসসালামু আলাইকুম, নীল জামদানি শাড়িটা কি এখনো আছে?",
        "a: ওয়ালাইকুম আসসালাম আপা, জি আছে। দুটো আছে।",
        "c: দাম কত পড়বে?",
        labels=("sales",),
        is_assigned=True,
    ),
    _script(
        "Farhan Ahmed",
        0.3,
        "c: Hi, my parcel says delivered but I have not received it.",
        "p: Here is the tracking page",
    ),
    _script(
        "সুমাইয়া আক্তার",
        0.8,
        "c: অর্ডার #৫৫১২ এখনো আসেনি",
        "a: একটু দেখে জানাচ্ছি আপু।",
        "n: কুরিয়ারকে ফোন করা হয়েছে, আজ বিকেলে পৌঁছাবে",
        "a: আজ বিকেলের মধ্যে পেয়ে যাবেন।",
        "c: ঠিক আছে, ধন্যবাদ",
        labels=("delivery",),
        is_assigned=True,
    ),
    _script(
        "Priya Sen",
        1.5,
        "c: Do you ship to Kolkata?",
        "c: And how long does it take?",
        labels=("sales",),
    ),
    _script(
        "জাহিদ হাসান",
        2,
        "c: টাকা কেটে নিয়েছে কিন্তু অর্ডার কনফার্ম হয়নি!",
        "c: বিকাশ ট্রানজেকশন আইডি পাঠাচ্ছি",
        "p: ",
        priority="urgent",
    ),
    _script(
        "Daniel Brooks",
        3,
        "c: Size chart for panjabi please?",
        "a: Of course, one moment.",
        is_assigned=True,
    ),
    _script(
        "নুসরাত জাহান",
        4,
        "c: ক্যাশ অন ডেলিভারি হবে?",
        "a: জি, সারা বাংলাদেশে।",
        "c: আলহামদুলিল্লাহ, তাহলে একটা লাল জামা দিন",
        labels=("sales",),
    ),
    _script(
        "Ayesha Siddiqua",
        6,
        "c: I would like to return the blue kurti",
        "a: Sure. What is the order number?",
        "c: 5498",
    ),
    _script(
        "তানিয়া ইসলাম",
        8,
        "c: পণ্যটা ভাঙা এসেছে 😞",
        "p: ছবি দেখুন",
        "n: Refund approved by finance",
        labels=("refund", "vip"),
        is_assigned=True,
    ),
    _script(
        "Rakib Chowdhury",
        11,
        "c: Bhai, discount hobe?",
        "a: ১০% ছাড় চলছে এই সপ্তাহে।",
        "c: Great, I'll take two",
        status="resolved",
    ),
    _script(
        "মোহাম্মদ কামাল উদ্দিন", 20, "c: শো-রুম কোথায়?", "a: ধানমন্ডি ২৭, মীনা বাজারের পাশে।", status="resolved"
    ),
    _script("Grace Miller", 26, "c: Hello, is anybody there?", status="pending"),
    _script(
        "শ্রাবণী দত্ত",
        30,
        "c: পূজার কালেকশন কবে আসবে?",
        "a: আগামী সোমবার ইনশাআল্লাহ।",
        "c: অপেক্ষায় থাকলাম",
        labels=("sales",),
    ),
    _script(
        "Imran Khan",
        35,
        "c: Wrong item delivered <order 5477> & no invoice",
        "a: So sorry! We will send the right one.",
        is_assigned=True,
    ),
    _script(
        "ফারজানা ববি",
        49,
        "c: গিফট র‍্যাপ করা যাবে?",
        "a: জি আপু, ৫০ টাকা।",
        "c: তাহলে করে দিন 🎁",
        status="resolved",
        labels=("sales",),
    ),
    _script(
        "Olivia Costa",
        60,
        "c: Could you send me the invoice by e-mail?",
        "a: Sent just now.",
        "c: Got it, thanks!",
        status="resolved",
    ),
    _script(
        "আব্দুল্লাহ আল মামুন",
        73,
        "c: ঢাকার বাইরে ডেলিভারি চার্জ কত?",
        "a: ১২০ টাকা, ৩-৪ দিন লাগে।",
        status="resolved",
        labels=("delivery",),
    ),
    _script(
        "Tasnim Rahman",
        97,
        "c: When will size M be back?",
        "n: Ask the supplier again on Monday",
        status="snoozed",
    ),
    _script(
        "লাবণ্য সরকার",
        120,
        "c: পেয়ে গেছি, খুব সুন্দর হয়েছে ❤️",
        "a: অনেক ধন্যবাদ আপু!",
        status="resolved",
        labels=("vip",),
    ),
    _script(
        "Sanjoy Roy",
        150,
        "c: পাইকারি দামে ৫০টা টি-শার্ট লাগবে",
        "a: Please call our wholesale desk.",
        "c: Number?",
        "a: +880 1700-000000",
        status="resolved",
    ),
)

_LINE_SECONDS = 95.0  # between two lines of a script
# history is older than any webhook can be late, or the queue would be taken for a slow one
_MIN_HOURS_AGO = 0.6


def seed(sim: ChatwootSim, *, inboxes: Sequence[Inbox] | None = None) -> list[Conversation]:
    """About 20 conversations of the last week, spread over `inboxes` (the first one, unless given),
    and two more agents.

    Subscribers registered before get all of it as webhooks; register afterwards to leave it to a
    sync.
    """
    places = list(inboxes or [sim.inbox])
    agents = [
        sim.add_user("Tanvir Hasan", account=sim.account, inboxes=tuple(places)),
        sim.add_user("Maya Das", account=sim.account, inboxes=tuple(places)),
    ]
    oldest_first = sorted(_SCRIPTS, key=lambda script: -script.hours_ago)
    return [
        _play(sim, s, places[i % len(places)], agents[i % len(agents)])
        for i, s in enumerate(oldest_first)
    ]


def _play(sim: ChatwootSim, script: _Script, inbox: Inbox, agent: User) -> Conversation:
    with sim.time_shifted(
        -(script.hours_ago + _MIN_HOURS_AGO) * 3600 - len(script.lines) * _LINE_SECONDS
    ):
        number = len(sim.contacts) + 1
        contact = sim.add_contact(
            script.customer,
            account=inbox.account,
            phone_number=f"+88017000{number:05d}",
            identifier=f"crm-{5000 + number}",
        )
    conversation: Conversation | None = None
    for index, line in enumerate(script.lines):
        with sim.time_shifted(
            -(script.hours_ago + _MIN_HOURS_AGO) * 3600
            - (len(script.lines) - index) * _LINE_SECONDS
        ):
            if conversation is None or line.who in "cp":
                uploads = [samples.picture()] if line.who == "p" else []
                said = sim.customer_says(
                    contact, line.text or None, inbox_id=inbox.id, attachments=uploads
                )
                conversation = said.conversation
            elif line.who == "a":
                sim.agent_says(conversation, line.text, user=agent)
            else:
                sim.private_note(conversation, line.text, user=agent)
    if conversation is None:
        raise ValueError(f"the script of {script.customer} has no lines")
    with sim.time_shifted(-(script.hours_ago + _MIN_HOURS_AGO) * 3600):
        _dress(sim, conversation, script, agent)
    return conversation


def _dress(sim: ChatwootSim, conversation: Conversation, script: _Script, agent: User) -> None:
    if script.is_assigned:
        sim.assign(conversation, agent)
    sim.set_labels(conversation, script.labels)
    sim.set_priority(conversation, script.priority)
    if script.status == "snoozed":
        sim.set_status(conversation, "snoozed", by=agent, snoozed_until=sim.now() + 7 * 86400)
    else:
        sim.set_status(conversation, script.status, by=agent)
