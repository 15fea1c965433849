"""Which machines have trained a run: what was cut off on one may be resumed on another."""


def note_epoch(machines: list[dict], hardware: str, epoch: int) -> None:
    """Add an epoch, counted from 1, to the notes in their order: [{"hardware": text, "epochs": [first, last]}, ...]."""
    if machines and machines[-1]["hardware"] == hardware:
        machines[-1]["epochs"][1] = epoch
    else:
        machines.append({"hardware": hardware, "epochs": [epoch, epoch]})


def find_main(machines: list[dict]) -> str:
    """The hardware that trained most of the epochs."""
    counts: dict[str, int] = {}
    for machine in machines:
        first, last = machine["epochs"]
        counts[machine["hardware"]] = counts.get(machine["hardware"], 0) + last - first + 1
    return max(counts, key=counts.get)


def describe_machines(metrics: dict) -> str:
    """All machines of a run, with their epochs where there are several. metrics: as metrics.json has it."""
    if "machines" not in metrics:
        return metrics["hardware"]
    return "; ".join(f"{m['hardware']}: epochs {m['epochs'][0]}-{m['epochs'][1]}" for m in metrics["machines"])


def are_machines(value, epochs: int, hardware: str) -> bool:
    """Whether this, from a file, names for each of so many epochs one machine, and `hardware` for most of them."""
    try:
        bounds = [machine["epochs"] for machine in value]
        whole = all(type(number) is int for bound in bounds for number in bound)
        rising = all(first <= last for first, last in bounds)
        joined = all(last + 1 == first for (_, last), (first, _) in zip(bounds, bounds[1:]))
        ends = (bounds[0][0], bounds[-1][1]) == (1, epochs)
        return whole and rising and joined and ends and find_main(value) == hardware
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return False
