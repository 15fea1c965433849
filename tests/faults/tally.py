"""What a suite has tried, and how it ended."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """The cases of one suite. Every case ends in one of the four ways; `lost` says of each of its cases what
    happened."""

    name: str
    refused: int = 0  # said in a sentence that something is wrong, and took nothing
    recovered: int = 0  # went on to the very result of a run that nothing happened to
    unharmed: int = 0  # the fault changed nothing that is read, or the request was a good one and was answered
    lost: list[str] = field(default_factory=list)  # a wrong value, a traceback, a file left behind, a hang

    @property
    def tried(self) -> int:
        return self.refused + self.recovered + self.unharmed + len(self.lost)

    def note(self, outcome: str, case: str = "") -> None:
        """Count a case. outcome: "refused", "recovered", "unharmed", or what went wrong."""
        if outcome in ("refused", "recovered", "unharmed"):
            setattr(self, outcome, getattr(self, outcome) + 1)
        else:
            self.lost.append(f"{case}: {outcome}" if case else outcome)

    def to_dict(self) -> dict:
        return {
            "suite": self.name,
            "tried": self.tried,
            "refused": self.refused,
            "recovered": self.recovered,
            "unharmed": self.unharmed,
            "lost": len(self.lost),
        }


def render_table(rows: list[dict]) -> str:
    """The rows of `Tally.to_dict` as a Markdown table, their sum below."""
    columns = ("tried", "refused", "recovered", "unharmed", "lost")
    total = {name: sum(row[name] for row in rows) for name in columns}
    lines = [f"| suite | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    lines += [f"| {row['suite']} | " + " | ".join(f"{row[name]:,}" for name in columns) + " |" for row in rows]
    lines.append("| **all** | " + " | ".join(f"**{total[name]:,}**" for name in columns) + " |")
    return "\n".join(lines) + "\n"
