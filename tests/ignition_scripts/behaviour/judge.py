# mypy: ignore-errors
"""What the project's pure modules say about one case; the test knows what the bridge says about the same."""

from bridge import decisions, qualities, verdicts


def answer(case):
    reading = None if case["reading"] is None else qualities.Reading(**case["reading"])
    if case["question"] == "decide":
        value, refusal = decisions.approvedWrite(case["command"])
        if refusal is None:
            refusal = decisions.stillRight(case["command"], value, reading, case["now_s"])
        return [None if refusal is None else refusal.code]
    if case["question"] == "late":
        found = verdicts.lateVerdict(case["command"], reading)
    else:
        value, refusal = decisions.approvedWrite(case["command"])
        assert refusal is None, refusal
        outcome = qualities.outcomeOf(*case["answer"])
        found = verdicts.verdictOf(case["command"], value, outcome, reading, case["last_look"])
    return None if found is None else [found.status, found.code, found.read_back]
