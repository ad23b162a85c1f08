"""What a decision by policy takes: `python -m tests.benchmarks.policy`, in time of this process alone."""

import json
import sys
import time

from processors.policy.decide import PolicyRequest, decide
from schemas.configuration import ArgumentCondition, Policy, PolicyRule
from tests.processors.world import tool_spec

RULES = 100
TOOLS = 10
CALLS = 20_000


def condition(argument: str, operator: str, *values: str, number: float | None = None) -> ArgumentCondition:
    """Return a condition."""
    return ArgumentCondition(argument=argument, operator=operator, values=values, number=number)


def policy() -> Policy:
    """Return a hundred rules over ten tools: nine of each tool forbid something, and one allows it."""
    rules = []
    for number in range(TOOLS):
        tool = f"tool{number}"
        conditions = [
            condition("path", "path_under", "/etc", "/root", "/var/lib"),
            condition("path", "glob", "**/*.key"),
            condition("url", "host_in", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16"),
            condition("url", "host_in", "*.internal.example"),
            condition("amount", "at_most", number=-1),
            condition("text", "matches", "(?i).*password.*"),
            condition("method", "in", '"DELETE"', '"PUT"'),
            condition("text", "prefix", "sudo "),
        ]
        rules += [
            PolicyRule(name=f"{tool}-{at}", decision="deny", reason="no", tools=(tool,), arguments=(one,))
            for at, one in enumerate(conditions)
        ]
        rules.append(
            PolicyRule(name=f"{tool}-often", decision="deny", reason="no", tools=(tool,), calls_above=50)
        )
        rules.append(PolicyRule(name=f"{tool}-yes", decision="allow", reason="yes", tools=(tool,)))
    assert len(rules) == RULES
    return Policy(rules=tuple(rules))


def request(number: int, arguments_json: str) -> PolicyRequest:
    """Return a call of one of the tools."""
    tool = f"tool{number % TOOLS}"
    return PolicyRequest(
        agent="worker",
        tool=tool,
        spec=tool_spec(tool),
        calls_before=number % 40,
        share_left=0.5,
        arguments_json=arguments_json,
    )


def arguments(number: int) -> str:
    """Return arguments that no call before had."""
    return json.dumps(
        {
            "path": f"/srv/data/reports/{number}/november.txt",
            "url": f"https://api{number}.example.org/v1/items?page=2",
            "amount": number,
            "method": "GET",
            "text": f"a plain sentence of a few words, and the number {number}",
        }
    )


def hostile() -> dict[str, str]:
    """Return arguments that are made to take long."""
    return {
        "1 MB of text": json.dumps({"text": "x" * 1_000_000}),
        "nested 10,000 times": '{"text": ' + "[" * 10_000 + "]" * 10_000 + "}",
        "20,000 numbers": json.dumps({"text": list(range(20_000))}),
        "a path of 8,000 parts": json.dumps({"path": "/a" * 4_000, "text": "x"}),
        "a text that backtracks": json.dumps({"text": "password" * 1_000 + "x"}),
        "60,000 bytes of text": json.dumps({"text": "x" * 60_000}),
    }


def measured(texts: list[str]) -> tuple[float, float]:
    """Return the median and the 99th percentile of deciding calls with these arguments, in microseconds."""
    rules = policy()
    requests = [request(number, text) for number, text in enumerate(texts)]
    decide(requests[0], rules)
    took = []
    for one in requests:
        began = time.thread_time_ns()
        decide(one, rules)
        took.append((time.thread_time_ns() - began) / 1_000)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]


def main() -> None:
    """Print the table of docs/benchmarks.md."""
    half, most = measured([arguments(number) for number in range(CALLS)])
    lines = [
        "| arguments | p50 | p99 |",
        "|---|---|---|",
        f"| usual, each of them new | {half:.0f} µs | {most:.0f} µs |",
    ]
    for name, text in hostile().items():
        half, most = measured([text] * 1_000)
        lines.append(f"| {name} | {half:.0f} µs | {most:.0f} µs |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
