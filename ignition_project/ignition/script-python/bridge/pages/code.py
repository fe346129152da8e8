# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""What the one transform of each page calls: the structure its binding made in, what its components show out.

A structure holds the rows of queries (None before the first answer) and, beside each, whether it is good.
"""

from bridge import (
	audit,
	banner,
	cards,
	commands,
	datasets,
	details,
	equipment,
	health,
	outcomes,
	trends,
)


def banners(value):
	# type: (object) -> dict
	"""{agent, agentGood, silent} to the line above every page; `silent`: seconds without an answer, else 0."""
	found = datasets.plain(value)
	return banner.of(_first(found["agent"]), found["agentGood"], found["silent"])


def header(value):
	# type: (object) -> dict
	"""{agent, agentGood, silent} to the header's chips."""
	found = datasets.plain(value)
	return banner.header(_first(found["agent"]), found["agentGood"], found["silent"])


def recommendations(value):
	# type: (object) -> dict
	"""{rows, good, agent, agentGood, operator} to one page of cards."""
	found = datasets.plain(value)
	return cards.page(
		found["rows"], found["good"], _first(found["agent"]), found["agentGood"], found["operator"] or u""
	)


def finished(value):
	# type: (object) -> list
	"""{rows, good} to the lines of what has just ended."""
	found = datasets.plain(value)
	return cards.finished(found["rows"]) if found["good"] else []


def recommendation(value):
	# type: (object) -> dict
	"""{rows, good, operator} to the page of one recommendation."""
	found = datasets.plain(value)
	return details.page(found["rows"], found["good"], found["operator"] or u"")


def timeline(value):
	# type: (object) -> list
	"""{rows, good, evidence} to the entries of the timeline."""
	found = datasets.plain(value)
	return details.trail(found["rows"], found["good"], found["evidence"])


def trend(value):
	# type: (object) -> dict
	"""{rows, good, evidence} to series and plots; what the lines mean comes with them."""
	found = datasets.plain(value)
	return trends.chart(found["rows"], found["good"], found["evidence"])


def similar(value):
	# type: (object) -> dict
	"""{rows, good} to the table of earlier cases."""
	found = datasets.plain(value)
	return details.similar(found["rows"], found["good"])


def decide(value):
	# type: (object) -> dict
	"""{live, good, decision, digest, operator, item, agent} to everything the confirming popup says by itself."""
	found = datasets.plain(value)
	decision, item = found["decision"], found["item"]
	shown = outcomes.popup(found["live"], found["good"], found["digest"], found["operator"], _first(found["agent"]))
	shown.update(outcomes.words(decision, item))
	return shown


def arming(value):
	# type: (object) -> dict
	"""{rows, good, agent, open} to what is read before arming."""
	found = datasets.plain(value)
	return outcomes.arming(found["rows"], found["good"], _first(found["agent"]), found["open"])


def equipments(value):
	# type: (object) -> dict
	"""{rows, good, first} to one page of equipment cards."""
	found = datasets.plain(value)
	return equipment.page(found["rows"], found["good"], found["first"])


def oneEquipment(value):
	# type: (object) -> dict
	"""{rows, good, id} to the card of one equipment."""
	found = datasets.plain(value)
	return equipment.one(found["rows"], found["good"], found["id"])


def openItems(value):
	# type: (object) -> dict
	"""{rows, good} to the recommendations of one equipment as table rows."""
	found = datasets.plain(value)
	return equipment.items(found["rows"], found["good"])


def liveCommands(value):
	# type: (object) -> dict
	"""{rows, good} to the cards of what is not finished."""
	found = datasets.plain(value)
	return commands.live(found["rows"], found["good"])


def commandHistory(value):
	# type: (object) -> dict
	"""{rows, good} to table rows."""
	found = datasets.plain(value)
	return commands.history(found["rows"], found["good"])


def agents(value):
	# type: (object) -> dict
	"""{rows, good} to agent cards."""
	found = datasets.plain(value)
	return health.agents(found["rows"], found["good"])


def sessions(value):
	# type: (object) -> dict
	"""{rows, good} to table rows."""
	found = datasets.plain(value)
	return health.sessions(found["rows"], found["good"])


def limits(value):
	# type: (object) -> dict
	"""{rows, good} to table rows."""
	found = datasets.plain(value)
	return health.limits(found["rows"], found["good"])


def control(value):
	# type: (object) -> dict
	"""{rows, good} to armed or disarmed."""
	found = datasets.plain(value)
	return health.control(found["rows"], found["good"])


def auditTrail(value):
	# type: (object) -> dict
	"""{rows, good, limit} to table rows."""
	found = datasets.plain(value)
	return audit.page(found["rows"], found["good"], found["limit"])


def _first(rows):
	# type: (list) -> dict
	return rows[0] if rows else None
