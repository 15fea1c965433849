"""Figure of a long run: what it keeps of memory and open files."""

from cifar100.figures.style import HELD, TRAINING, Picture, make_figure


def plot_long_run(samples: dict[str, list[tuple[float, float, int]]]) -> Picture:
    """Memory and open files of processes over the time that they ran, a line each; level lines mean that nothing leaks.

    samples: by the process's name, (minutes since it began, memory in MB, open files).
    """
    minutes = max(own[-1][0] for own in samples.values())
    fig, (memory, files) = make_figure(9, 4.5, f"Does anything leak? {minutes:.0f} minutes each", 2, 1, sharex=True)
    for (name, own), colour in zip(samples.items(), (TRAINING, HELD, "0.3")):
        times, megabytes, counts = zip(*own)
        memory.plot(times, megabytes, color=colour, label=name)
        files.plot(times, counts, color=colour, drawstyle="steps-post")
    memory.set(ylabel="memory (MB)")
    files.set(ylabel="open files", xlabel="minutes")
    for ax in (memory, files):
        ax.set_ylim(0, 1.1 * ax.dataLim.y1)
    memory.legend(frameon=False, fontsize=9, loc="lower right")
    for ax in (memory, files):
        ax.grid(axis="y", color="0.9")
        ax.set_axisbelow(True)
    return fig
