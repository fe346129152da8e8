# mypy: ignore-errors
"""The gateway's script side: Jython 2.7 on the JVM, talking to the Python parent line by line.

Started by ``simulator.gateway.scripting`` with the project's content as the first line on stdin. It never
touches a tag itself: what scripts ask of tags goes to the parent, what they ask of the database goes to JDBC.
"""

import sys

from standin import database, library, link, perspective, scope, sessions, timers, workers


def main():
    parent = link.Link()
    sys.stdout = link.Printed(parent, "print")
    sys.stderr = link.Printed(parent, "stderr")
    start = parent.first_line()
    project = library.Library(start["project"], start["target"], parent)
    sources = database.Sources(start["databases"])
    crew = workers.Workers("perspective")
    asked = sessions.Sessions(parent, crew)
    functions = scope.install(project, sources, parent, start, asked)
    scripts = perspective.Scripts(project, asked, crew, parent)
    queries = perspective.Queries(start["project"], functions, workers.Workers("query"), parent)
    problems = project.compile_all()
    if problems:
        parent.send({"broken": problems})
        return
    running = timers.Timers(start["project"], project, parent)
    parent.send({"ready": True})
    running.start(held=start["hold_timers"])
    for order in parent.orders():
        if order["do"] == "jdbc":
            sources.set_up(order["up"])
        elif order["do"] == "timer":
            running.run_now(order["id"], order["name"])
        elif order["do"] == "call":
            running.call(order["id"], order["function"], order["arguments"])
        elif order["do"] == "query":
            queries.run(order)
        elif order["do"] == "script":
            scripts.run(order)
        elif order["do"] == "warm":
            queries.run_beside(sources.connect)
            scripts.run_beside(project.load_all)
        elif order["do"] == "message":
            running.message(order["name"], order["payload"])
    running.stop()


main()
