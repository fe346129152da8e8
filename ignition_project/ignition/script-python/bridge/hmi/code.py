# One of the two modules that touch `system` and Java (`gateway` is the other). Every sentence is made in the pure ones.
"""What the buttons of the views do. A view's script is one line that calls a function of this module.

Three doors guard every decision: the permission on the button's action, the check here, and the database.
The actor is always the login of the session and never a field or a parameter.
"""

import system
from bridge import audit, commands, config, datasets, gateway, outcomes, pages, wording
from java.util import LinkedHashMap

MAX_AUDIT_ROWS = 500

_TITLES = {
	outcomes.APPROVE: u"Approve",
	outcomes.REJECT: u"Reject",
	outcomes.DEFER: u"Defer",
}


# Popups


def ask(component, decision):
	# type: (object, str) -> None
	"""Open the confirming popup with the very row that the card shows: its digest is what will be approved."""
	item = datasets.plain(component.view.params.item)
	_popup(
		"decide",
		"Popups/Decide",
		{
			"recommendation_id": item["recommendation_id"],
			"decision": decision,
			"digest": item["digest"],
			"item": item,
		},
		u"%s: %s, %s" % (_TITLES[decision], item["equipment_id"], item["issue"]),
	)


def askSettle(component):
	# type: (object) -> None
	"""Open the popup in which a person says what became of a command with unknown outcome."""
	item = datasets.plain(component.view.params.item)
	_popup("settle", "Popups/Settle", {"command_id": item["command_id"], "item": item}, u"Settle: %s" % item["name"])


def askArm(component, armed):
	# type: (object, bool) -> None
	"""Open the popup that asks why writes are armed or disarmed."""
	_popup("arm", "Popups/Arm", {"armed": armed}, u"Arm writes" if armed else u"Disarm writes")


def close(popup):
	# type: (str) -> None
	"""Close the popup of this name."""
	system.perspective.closePopup(popup)


def _popup(key, view, params, title):
	# type: (str, str, dict, str) -> None
	system.perspective.openPopup(
		key, view, params=params, title=title, showCloseIcon=True, draggable=True, modal=True, viewPortBound=True
	)


# Decisions


def confirm(component):
	# type: (object) -> None
	"""The button of the confirming popup: carry the decision to the database once, and say what became of it."""
	_once(component, config.DECIDES, _decide)


def confirmSettle(component):
	# type: (object) -> None
	"""Record what a person found at the panel."""
	_once(component, config.DECIDES, _settle)


def confirmArm(component):
	# type: (object) -> None
	"""Arm or disarm all writes, with the reason."""
	_once(component, config.ARMS if component.view.params.armed else config.DISARMS, _switch)


def _once(component, levels, work):
	# type: (object, list, object) -> None
	"""A second click finds the first one's mark and does nothing; only what was missing may be pressed again."""
	view = component.view
	if view.custom.sent:
		return
	view.custom.sent = True
	operator = gateway.operatorOf(component.session)
	if not operator:
		outcome = outcomes.nobody()
	elif not _may(component, levels):
		outcome = outcomes.noRole(levels)
	else:
		outcome = _answered(component, operator, work)
	view.custom.outcome = outcome
	if outcome["kind"] in outcomes.AGAIN:
		view.custom.sent = False


def _answered(component, operator, work):
	# type: (object, str, object) -> dict
	"""Do the work and turn whatever happens into a sentence for the person who pressed the button."""
	try:
		# The database asks who is logged in at the HMI, and whether that login may decide.
		gateway.openSession(component.session)
	except gateway.ANY_FAILURE as problem:
		gateway.LOGGER.warn(u"decision.not_sent operator=%s reason=%s" % (operator, gateway.sentence(problem)))
		return outcomes.notSent()
	try:
		return work(component, operator)
	except gateway.ANY_FAILURE as problem:
		said = gateway.sentence(problem)
		gateway.LOGGER.warn(u"decision.failed operator=%s reason=%s" % (operator, said))
		found = wording.refusal(said)
		return outcomes.silent() if found is None else outcomes.refused(found[1])


def _decide(component, operator):
	# type: (object, str) -> dict
	params, custom = component.view.params, component.view.custom
	decision, key, digest = params.decision, params.recommendation_id, params.digest
	reason = (custom.reason or u"").strip()
	if not digest:
		return outcomes.changed()  # nobody decides on what was not shown
	asked = {"recommendation_id": key, "operator": operator, "digest": digest}
	if decision == outcomes.REJECT:
		if not reason:
			return outcomes.wanted(u"Say why, for those who read it later.")
		path = "Recommendations/rejectRecommendation"
		asked["reason"] = reason
	elif decision == outcomes.DEFER:
		if not custom.minutes:
			return outcomes.wanted(u"Choose for how long.")
		path = "Recommendations/deferRecommendation"
		asked.update(minutes=custom.minutes, comment=reason or None)
	else:
		path = "Recommendations/approveRecommendation"
		asked["comment"] = reason or None
	found = gateway.query(path, asked)
	if not found:
		rows = gateway.query("Recommendations/getRecommendation", {"recommendation_id": key})
		return outcomes.whyNot(decision, rows[0] if rows else None, digest, operator)
	if decision != outcomes.DEFER:
		gateway.countDecision(component.session, "rejected" if decision == outcomes.REJECT else "approved")
	return outcomes.done(decision, found[0], len(datasets.plain(params.item)["writes"]))


def _settle(component, operator):
	# type: (object, str) -> dict
	custom = component.view.custom
	key = component.view.params.command_id
	found = gateway.query("Commands/getCommand", {"command_id": key})
	if not found:
		return outcomes.settled([])
	asked, missing = commands.settlement(custom.found, custom.readBack, custom.seen, found[0], operator)
	if missing is not None:
		return outcomes.wanted(missing)
	asked.update(command_id=key, operator=operator)
	return outcomes.settled(gateway.query("Commands/settleByHand", asked))


def _switch(component, operator):
	# type: (object, str) -> dict
	armed = bool(component.view.params.armed)
	reason = (component.view.custom.reason or u"").strip()
	if not reason:
		return outcomes.wanted(u"Say why, for those who read it later.")
	asked = {"armed": armed, "operator": operator, "reason": reason}
	return outcomes.switched(gateway.query("Control/setArmed", asked), armed)


def _may(component, levels):
	# type: (object, list) -> bool
	"""Whether somebody is logged in here who has one of these levels."""
	if not gateway.operatorOf(component.session):
		return False
	return bool(system.perspective.isAuthorized(False, levels))


# Sessions


def started(session):
	# type: (object) -> None
	"""A Perspective session or a page of it has started."""
	custom = session.custom
	custom.agent_id = config.AGENT_ID
	custom.offline_after_s = config.OFFLINE_AFTER_S
	custom.silent_after_s = config.SILENT_AFTER_S
	_recorded(gateway.openSession, session)


def ended(session):
	# type: (object) -> None
	"""A Perspective session has ended."""
	_recorded(gateway.closeSession, session)


def cameOrWent(component):
	# type: (object) -> None
	"""Somebody logged in or out in a session that was already open."""
	_recorded(gateway.openSession, component.session)


def agentChanged(session, payload):
	# type: (object, dict) -> None
	"""Pass the gateway's word on to the pages of this session, whose headers then look at once."""
	system.perspective.sendMessage(config.AGENT_MESSAGE, payload, scope="session", sessionId=session.props.id)


def _recorded(work, session):
	# type: (object, object) -> None
	"""The record of sessions is a consequence: a database that is away must not keep a page from opening."""
	try:
		work(session)
	except gateway.ANY_FAILURE as problem:
		gateway.LOGGER.warn(u"session.unrecorded reason=%s" % gateway.sentence(problem))


# The rest


def turnPage(component, step):
	# type: (object, int) -> None
	"""Show the next or the previous cards of a long list."""
	view = component.view
	view.custom.first = view.custom.shown.first + step * config.CARDS


def toggleTheme(component):
	# type: (object) -> None
	"""From light to dark and back, for this session."""
	props = component.session.props
	props.theme = "light" if props.theme == "dark" else "dark"


def openRow(event, field, page):
	# type: (object, str, str) -> None
	"""Go to the page of the row that was clicked in a table."""
	key = event.value[field]
	if key:
		system.perspective.navigate(page="%s/%s" % (page, key))


def exportAudit(component):
	# type: (object) -> None
	"""Download what the filters show as CSV."""
	custom = component.view.custom
	asked = {
		"actor": custom.actor,
		"action": custom.action,
		"object_id": custom.object,
		"hours": custom.hours,
		"max_rows": MAX_AUDIT_ROWS,
	}
	try:
		rows = datasets.plain(gateway.query("Audit/searchAudit", asked))
	except gateway.ANY_FAILURE as problem:
		gateway.LOGGER.warn(u"audit.unexported reason=%s" % gateway.sentence(problem))
		custom.exported = u"The database does not answer; nothing was exported."
		return
	system.perspective.download("audit.csv", audit.csv(rows))
	custom.exported = u"%d rows exported." % len(rows)


def go(page):
	# type: (str) -> None
	"""Go to another page."""
	if page:
		system.perspective.navigate(page=page)


def toggleMenu():
	# type: () -> None
	"""Show or hide the menu, which covers a tablet."""
	system.perspective.toggleDock("menu")


def trend(value):
	# type: (object) -> dict
	"""The trend's series with points whose columns stay in order; a Jython dict would put any column first."""
	chart = pages.trend(value)
	for series in chart["series"]:
		series["data"] = [_ordered(point) for point in series["data"]]
	return chart


def _ordered(pairs):
	# type: (list) -> object
	point = LinkedHashMap()
	for name, value in pairs:
		point.put(name, value)
	return point
