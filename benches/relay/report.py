"""A Report is the measurements of all rounds, as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

from hops import LABELS, SENDGATE
from measure import Measurement
from plot import Panel
from scenarios import HUNDRED_SESSIONS, ONE_SESSION, PIPELINED, STALL_FLOOR, STALL_SCENARIO

Rounds = dict[tuple[str, str], list[Measurement | None]]
"""By scenario and hop: what each round measured, None where the load did not arrive."""

MIB = 1024 * 1024

BUSY = 0.9
"""The share of its core from which on our client may be the limit."""

Of = Callable[[Measurement], float]
"""A figure of one measurement."""


def medians(rounds: Rounds, scenario: str, hop: str, of: Of) -> float | None:
    """The median over the rounds that succeeded, None if there is none."""
    values = [of(m) for m in rounds.get((scenario, hop), []) if m]
    return median(values) if values else None


def ratio(rounds: Rounds, scenario: str, hop: str, base: str, of: Of) -> float | None:
    """The median of the ratios to another hop, each within one round."""
    pairs = zip(rounds.get((scenario, hop), []), rounds.get((scenario, base), []))
    values = [of(m) / of(b) for m, b in pairs if m and b]
    return median(values) if values else None


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def short(value: float) -> str:
    """A small number as people write ratios: .48 and 1.10, or .002 where .00 would say nothing."""
    if 0 < value < 0.01:
        return f"{value:.3f}".lstrip("0")
    return f"{value:.2f}".removeprefix("0")


class Report:
    """Writes the tables for the chosen scenarios and hops."""

    def __init__(self, rounds: Rounds, scenarios: list[str], hops: list[str]):
        self.rounds = rounds
        self.scenarios = scenarios
        self.hops = hops

    def text(self) -> str:
        """All tables, with headings."""
        parts = [
            ("Messages per second (ratio to direct | to HAProxy)", self.rates(lambda m: m.rate)),
            (
                "Messages per CPU second of the whole chain (ratio to direct | to HAProxy)",
                self.rates(lambda m: m.rate_of_cpu),
            ),
            ("CPU seconds per 1,000 messages, hop + Redis", self.cpu()),
            ("Time added to one message at one session", self.added()),
            ("Resident memory of the hop at 100 sessions, RSS / PSS in MiB", self.memory()),
            ("Upstream connections opened for 1,000 messages", self.connections()),
            ("Share of a core that our pipelining client used", self.client()),
        ]
        return "\n\n".join(f"### {title}\n\n{body}" for title, body in parts if body)

    def rows(self, scenarios: list[str], hops: list[str], cell: Callable[[str, str], str]) -> str:
        """A table of hops by scenarios; empty where there is nothing to show."""
        if not scenarios or not hops:
            return ""
        lines = ([LABELS[hop], *(cell(s, hop) for s in scenarios)] for hop in hops)
        return table(["hop", *scenarios], lines)

    def rates(self, of: Of) -> str:
        """Messages per second, each with its ratios to the hops it is compared with."""

        def cell(scenario: str, hop: str) -> str:
            rate = medians(self.rounds, scenario, hop, of)
            if rate is None:
                return self.nothing(scenario, hop)
            before = {"direct": [], "haproxy": ["direct"]}
            bases = before.get(hop, ["direct", "haproxy"])
            ratios = [ratio(self.rounds, scenario, hop, base, of) for base in bases]
            shown = " \\| ".join("–" if r is None else short(r) for r in ratios)
            return f"{rate:.0f} ({shown})" if shown.strip("– \\|") else f"{rate:.0f}"

        return self.rows(self.scenarios, self.hops, cell)

    def cpu(self) -> str:
        """CPU time of the hop, and of Redis beside it."""

        def cell(scenario: str, hop: str) -> str:
            own = medians(self.rounds, scenario, hop, lambda m: 1000 * m.hop_cpu / m.messages)
            redis = medians(self.rounds, scenario, hop, lambda m: 1000 * m.redis_cpu / m.messages)
            if own is None or redis is None:
                return self.nothing(scenario, hop)
            return f"{own:.3f} + {redis:.3f}" if redis else f"{own:.3f}"

        return self.rows(self.scenarios, [h for h in self.hops if h != "direct"], cell)

    def added(self) -> str:
        """How much longer one message takes through the hop than without it."""

        def cell(scenario: str, hop: str) -> str:
            through = self.rounds.get((scenario, hop), [])
            direct = self.rounds.get((scenario, "direct"), [])
            values = [1 / m.rate - 1 / d.rate for m, d in zip(through, direct) if m and d]
            return f"{median(values) * 1e6:.0f} µs" if values else self.nothing(scenario, hop)

        if "direct" not in self.hops:
            return ""
        scenarios = [s for s in self.scenarios if s in ONE_SESSION]
        return self.rows(scenarios, [h for h in self.hops if h != "direct"], cell)

    def memory(self) -> str:
        """Resident memory half-way through the load."""

        def cell(scenario: str, hop: str) -> str:
            rss = medians(self.rounds, scenario, hop, lambda m: m.rss / MIB)
            pss = medians(self.rounds, scenario, hop, lambda m: m.pss / MIB)
            if rss is None or pss is None:
                return self.nothing(scenario, hop)
            return f"{rss:.1f} / {pss:.1f}"

        scenarios = [s for s in self.scenarios if s in HUNDRED_SESSIONS]
        return self.rows(scenarios, [h for h in self.hops if h != "direct"], cell)

    def connections(self) -> str:
        """How often the hop connected to the sink, seen from there when connections end."""

        def cell(scenario: str, hop: str) -> str:
            count = medians(self.rounds, scenario, hop, lambda m: 1000 * m.connections / m.messages)
            return self.nothing(scenario, hop) if count is None else f"{count:.0f}"

        return self.rows(self.scenarios, [h for h in self.hops if h in SENDGATE], cell)

    def client(self) -> str:
        """How busy our own client was, so that a reader sees whether it was the limit."""

        def cell(scenario: str, hop: str) -> str:
            share = medians(self.rounds, scenario, hop, lambda m: m.client_share)
            if share is None:
                return self.nothing(scenario, hop)
            return f"{share:.0%}" + (", the limit" if share >= BUSY else "")

        return self.rows([s for s in self.scenarios if s in PIPELINED], self.hops, cell)

    def nothing(self, scenario: str, hop: str) -> str:
        """What stands where there is no figure."""
        return "failed" if (scenario, hop) in self.rounds else "–"

    def panel(self) -> Panel:
        """The ratios to HAProxy as bars; no series where HAProxy was not measured."""
        hops = [h for h in self.hops if h not in ("direct", "haproxy")]
        series = {
            LABELS[hop]: [
                ratio(self.rounds, scenario, hop, "haproxy", lambda m: m.rate)
                for scenario in self.scenarios
            ]
            for hop in hops
        }
        return Panel(
            "Messages per second, HAProxy in TCP mode = 1",
            self.scenarios,
            series if "haproxy" in self.hops else {},
            bars=True,
            line_at=1.0,
            line_label="HAProxy",
        )

    def spread(self) -> str:
        """The scenario and hop whose rounds differ most, so that nobody reads more than is there."""
        widest = (0.0, "")
        for (scenario, hop), measured in self.rounds.items():
            rates = [m.rate for m in measured if m]
            if len(rates) > 1:
                spread = (max(rates) - min(rates)) / median(rates)
                widest = max(widest, (spread, f"{LABELS[hop]}, {scenario}"))
        return f"Widest spread between rounds: {widest[0]:.0%} of the median ({widest[1]})."

    def stalls(self) -> list[tuple[bool, str]]:
        """For each Sendgate hop that was measured with it: whether no segment waits for an ACK."""
        results = []
        for hop in (h for h in self.hops if h in SENDGATE and STALL_SCENARIO in self.scenarios):
            rate = medians(self.rounds, STALL_SCENARIO, hop, lambda m: m.rate) or 0.0
            floor = self.stall_floor()
            verdict = "no stall" if rate >= floor else f"STALLS: below {floor:.0f}"
            said = f"{LABELS[hop]}: {rate:.0f} messages/s at {STALL_SCENARIO}, {verdict}"
            results.append((rate >= floor, said))
        return results

    def stall_floor(self) -> float:
        """Lower where the machine is so slow or busy that mail without a hop is slow as well."""
        direct = medians(self.rounds, STALL_SCENARIO, "direct", lambda m: m.rate)
        return min(STALL_FLOOR, direct / 4) if direct else STALL_FLOOR
