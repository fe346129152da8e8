# mypy: ignore-errors
"""Run every behaviour under this interpreter, CPython 3 or Jython 2.7 alike.

    python run.py STAGED CASES PARAMETERS ANSWERS

STAGED holds the project's library as an importable package; CASES and PARAMETERS are JSON that the test
made; ANSWERS receives, as JSON, what became of each behaviour and the verdicts on the cases.
"""

import io
import json
import os
import sys
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))


def main(staged, cases, parameters, answers):
    sys.dont_write_bytecode = True
    sys.path[:0] = [staged, HERE]
    with io.open(parameters, encoding="utf-8") as file:
        known = json.load(file)
    import fakes

    fakes.install(known)
    results = {}
    for name in sorted(
        name[:-3] for name in os.listdir(HERE) if name.startswith("when_") and name.endswith(".py")
    ):
        module = __import__(name)
        for each in sorted(vars(module)):
            if each.startswith("it_"):
                results["%s.%s" % (name, each)] = _outcome(vars(module)[each])
    import judge

    with io.open(cases, encoding="utf-8") as file:
        judged = [judge.answer(case) for case in json.load(file)]
    text = json.dumps({"version": sys.version, "results": results, "judged": judged})
    with io.open(answers, "wb") as file:
        file.write(text.encode("utf-8"))


def _outcome(behaviour):
    try:
        behaviour()
    except BaseException:
        return traceback.format_exc()
    return ""


main(*sys.argv[1:])
