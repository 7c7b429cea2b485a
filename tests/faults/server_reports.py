"""What a running server says of itself: readiness, problems, metrics."""

from tests.kit.client_model import Json
from tests.kit.eventually import eventually
from tests.kit.omni import Omni


async def readyz(server: Omni) -> Json:
    async with server.client() as http:
        answer = await http.get("/readyz")
        report: Json = answer.json()
        return report


async def wait_ready(
    server: Omni, limit: float = 20.0, *, ignoring: str = "(nothing is ignored)"
) -> None:
    """Until nothing is wrong any more, but for problems with that text in them."""

    async def is_ready() -> bool:
        report = await readyz(server)
        assert not [problem for problem in report["problems"] if ignoring not in problem], str(
            report
        )
        return True

    await eventually(is_ready, limit)


async def wait_problem(server: Omni, word: str, limit: float = 20.0) -> Json:
    """Until `/readyz` names a problem with that word in it; returns the report."""

    async def has_problem() -> Json:
        report = await readyz(server)
        assert any(word in problem for problem in report["problems"]), str(report)
        return report

    return await eventually(has_problem, limit)


async def metric(server: Omni, name: str, **labels: str) -> float:
    """The value of `omni_inbox_<name>` with these labels; 0 when it was never counted."""
    async with server.client() as http:
        lines = (await http.get("/metrics")).text.splitlines()
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    for line in lines:
        head, _, value = line.rpartition(" ")
        found, _, rest = head.partition("{")
        if found == f"omni_inbox_{name}" and wanted <= set(rest.rstrip("}").split(",")):
            return float(value)
    return 0.0
