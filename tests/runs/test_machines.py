from cifar100.runs.machines import are_machines, describe_machines, find_main, note_epoch


def noted(*hardware: str) -> list[dict]:
    machines = []
    for epoch, name in enumerate(hardware, start=1):
        note_epoch(machines, name, epoch)
    return machines


def test_epochs_are_noted_by_machine():
    machines = noted("A", "B", "B", "A")
    assert machines == [
        {"hardware": "A", "epochs": [1, 1]},
        {"hardware": "B", "epochs": [2, 3]},
        {"hardware": "A", "epochs": [4, 4]},
    ]
    assert find_main(noted("A", "B", "B", "A", "A")) == "A"
    text = describe_machines({"hardware": "B", "machines": noted("A", "B", "B")})
    assert text == "A: epochs 1-1; B: epochs 2-3" and describe_machines({"hardware": "A"}) == "A"


def test_notes_from_a_file_are_whole_or_refused():
    machines = noted("A", "B", "B")
    assert are_machines(machines, 3, "B") and not are_machines(machines, 3, "A")
    assert not are_machines(machines, 4, "B") and not are_machines(machines[1:], 3, "B")
    for damaged in (None, [], {}, [{}], [{"hardware": "B", "epochs": 3}], [{"hardware": "B", "epochs": [1, "3"]}]):
        assert not are_machines(damaged, 3, "B")
