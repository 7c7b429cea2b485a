"""A run's report: JSON for programs, one HTML file for people."""

import dataclasses
import platform
from html import escape
from typing import Any

import msgspec

from server.lab.load import plot
from server.lab.load.counters import FAULTS
from server.lab.load.run_result import Result, is_at_limit
from server.lab.load.view import rows_of

_HISTOGRAMS = (
    "delays",
    "replays",
    "slow_delays",
    "poll_delays",
    "acknowledgements",
    "connects",
    "polls",
)
_COUNTERS = (
    "closes",
    "cuts",
    "errors",
    "failures",
    "poll_answers",
    "replies",
    "resets",
    "webhooks",
    "welcomes",
)
_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:780px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}td{padding:.15rem 1.2rem .15rem 0;vertical-align:top}
.verdict{padding:.6rem 1rem;border-radius:.4rem;border:2px solid}.clean{border-color:#059669}.unclean{border-color:#dc2626}
svg{width:100%;height:auto}
"""  # noqa: E501


def as_json(results: list[Result]) -> bytes:
    """One object for each run, in an array."""
    return (
        msgspec.json.format(msgspec.json.encode([_facts(result) for result in results]), indent=2)
        + b"\n"
    )


def as_html(results: list[Result], extra: str = "") -> str:
    """A page that needs nothing else; `extra` is HTML of our own that stands first."""
    title = escape(results[0].plan.name)
    body = "\n".join(_section(result) for result in results)
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width">'
    )
    head += f"<title>{title}</title><style>{_STYLE}</style></head>"
    return f"{head}<body><h1>Omni Inbox under load: {title}</h1>\n{extra}\n{body}\n</body></html>\n"


def _facts(result: Result) -> dict[str, Any]:
    counters = result.counters
    return {
        "clean": result.verdict.is_clean,
        "invariants": result.verdict.invariants,
        "unfinished": result.verdict.unfinished,
        "notes": result.verdict.notes,
        "harnessAtLimit": is_at_limit(result),
        "plan": dataclasses.asdict(result.plan),
        "machine": {"system": platform.platform(), "python": platform.python_version()},
        "seconds": round(result.seconds, 2),
        "settledSeconds": round(result.settled_seconds, 2),
        "written": counters.written,
        "delivered": counters.delivered,
        "events": result.heads,
        "receivedBytes": counters.received_bytes,
        "requests": counters.requests,
        "harnessCpu": result.harness_cpu,
        "harnessPeak": round(result.harness_peak, 3),
        "server": result.server,
        "moments": result.moments,
        **{name: getattr(counters, name).summary() for name in _HISTOGRAMS},
        **{
            f"{name}Counts": {str(key): count for key, count in getattr(counters, name).items()}
            for name in _COUNTERS
        },
    }


def _section(result: Result) -> str:
    verdict = result.verdict
    word, kind = ("Clean", "clean") if verdict.is_clean else ("Not clean", "unclean")
    invariants = ", ".join(f"{name} {verdict.invariants[name]}" for name in FAULTS)
    sentences = [*verdict.unfinished, *verdict.notes]
    if is_at_limit(result):
        sentences.append("the harness was at its limit: delays and rates are partly its own")
    notes = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in rows_of(result)
    )
    return (
        f'<h2>{escape(result.plan.name)}</h2><p>{escape(result.plan.text)}</p><p class="verdict '
        f'{kind}"><b>{word}</b>: {invariants}</p>'
        f"<ul>{notes}</ul><table>{rows}</table>{_plots(result)}"
    )


def _plots(result: Result) -> str:
    moments, counters = result.moments, result.counters
    over_time = {
        "live": plot.lines(
            "Live agents", "sockets", {"live": [(m.at, float(m.live)) for m in moments]}
        ),
        "rates": plot.lines(
            "Delivered",
            "events a second",
            {"delivered": [(m.at, m.delivered_per_second) for m in moments]},
        ),
        "delays": plot.lines(
            "Delay",
            "ms",
            {
                "p99": [(m.at, m.p99_ms) for m in moments],
                "p50": [(m.at, m.p50_ms) for m in moments],
            },
        ),
        "cpu": plot.lines(
            "CPU",
            "share of a core",
            {
                "server": [(m.at, m.server_cpu) for m in moments],
                "harness": [(m.at, m.harness_cpu) for m in moments],
            },
        ),
    }
    shapes = [
        plot.histogram("Delay, written until read", counters.delays),
        plot.histogram("Delay of pollers", counters.poll_delays),
        plot.histogram("Connected after", counters.connects),
        plot.histogram("Webhook acknowledged after", counters.acknowledgements),
    ]
    return "\n".join([*over_time.values(), *shapes])
