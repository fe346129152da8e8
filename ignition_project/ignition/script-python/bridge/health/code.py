# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Agents, limits and sessions for the pages Health and Settings."""

from bridge import advice, states, timeline, values, wording


def agents(rows, good):
	# type: (list, bool) -> dict
	"""One card an agent from Health/agentHealth, those that are offline first."""
	state = states.of(
		rows,
		good,
		u"No agent has ever reported",
		u"Nobody is looking at the plant. Start the bridge: ignition-bridge run.",
	)
	found = sorted(rows, key=lambda row: row["status"] == "online") if good and rows else []
	return {"state": state, "cards": [{"item": _agent(row)} for row in found]}


def _agent(row):
	# type: (dict) -> dict
	online = row["status"] == "online"
	return {
		"agent_id": row["agent_id"],
		"chip": {
			"text": u"Online" if online else u"OFFLINE",
			"icon": u"material/favorite" if online else u"material/cloud_off",
			"style": u"Chip/Calm" if online else u"Chip/Act",
		},
		"card": u"Card/Plain" if online else u"Card/Critical",
		"facts": [
			_fact(u"Last heard of", wording.ago(row["heartbeat_age_s"])),
			_fact(u"Cycle", wording.measured(row["cycle_ms"], u"ms")),
			_fact(u"Cycles completed", u"%s" % (row["polls_completed"],)),
			_fact(u"Version", row["version"] or u"\u2013"),
			_fact(u"Site", row["site"] or u"\u2013"),
		]
		+ _details(row["detail"]),
	}


def _details(text):
	# type: (str) -> list
	found = timeline.document(text)
	links = found.pop("links", None)
	lines = [_fact(u"Link %s" % name, _link(links[name])) for name in sorted(links)] if isinstance(links, dict) else []
	if isinstance(found.get("buffer"), dict):
		lines.append(_fact(u"Buffer", _buffer(found.pop("buffer"))))
	return lines + [_fact(wording.words(name), _plain(found[name])) for name in sorted(found)]


def _link(link):
	# type: (dict) -> str
	"""One line about a link to the plant, as the agent reports it."""
	if not isinstance(link, dict):
		return _plain(link)
	said = [u"%s" % (link.get("state"),)]
	if link.get("wanted") is not None:
		said.append(u"%s of %s tags fresh" % (link.get("fresh"), link["wanted"]))
	if link.get("reconnects"):
		said.append(wording.count(link["reconnects"], u"reconnect"))
	for key in ("detail", "problems"):
		if link.get(key):
			said.append(_plain(link[key]))
	return u", ".join(said)


def _buffer(buffer):
	# type: (dict) -> str
	"""What waits on the agent's disk while the database is away, and what was lost there."""
	depth = buffer.get("depth") or 0
	dropped = buffer.get("dropped") or 0
	lost = u"%s DROPPED" % _thousands(dropped) if dropped else u"none dropped"
	if buffer.get("state") == "down":
		return u"NOT IN USE: %s; %s" % (buffer.get("detail") or u"no reason given", lost)
	if not depth:
		return u"empty, %s" % lost
	noun = u"reading" if depth == 1 else u"readings"
	said = [u"%s %s on disk" % (_thousands(depth), noun), u"oldest %s" % wording.age(buffer.get("oldest_s")), lost]
	state = {"draining": u"being stored now", "full": u"FULL"}.get(buffer.get("state"))
	return u", ".join(said + ([state] if state else []))


def _thousands(number):
	# type: (int) -> str
	return u"{:,}".format(int(number))


def _fact(name, text):
	# type: (str, str) -> dict
	return {"fact": {"name": name, "text": text}}


def fact(name, text):
	# type: (str, str) -> dict
	"""One line of name and value for Parts/Fact."""
	return _fact(name, text)


def _plain(value):
	# type: (object) -> str
	if isinstance(value, dict):
		return wording.clipped(u", ".join(u"%s %s" % (name, _plain(value[name])) for name in sorted(value)), 120)
	if isinstance(value, list) and not value:
		return u"none"
	if isinstance(value, list):
		return wording.clipped(u", ".join(_plain(each) for each in value), 120)
	return values.show(value, u"")


def evidence(text):
	# type: (str) -> list
	"""What a recommendation rests on, line by line."""
	found = timeline.document(text)
	unit = found.get("unit") or u""
	lines = []
	if found.get("signal"):
		lines.append(_fact(u"Signal", wording.words(found["signal"])))
	if found.get("tag_path"):
		lines.append(_fact(u"Tag", found["tag_path"]))
	if found.get("value") is not None:
		lines.append(_fact(u"Value then", wording.measured(found["value"], unit)))
	if found.get("limit") is not None:
		lines.append(_fact(u"Limit", wording.measured(found["limit"], unit)))
	if found.get("detail"):
		lines.append(_fact(u"Detail", _plain(found["detail"])))
	for number, each in enumerate(found.get("facts") or [], 1):
		lines.append(_fact(u"Fact %d" % number, _plain(each)))
	for each in found.get("refusals") or []:
		lines.append(_fact(u"Refused", _plain(each)))
	return lines + [_fact(name, said) for name, said in advice.lines(found)]


def limits(rows, good):
	# type: (list, bool) -> dict
	"""The allow-list as table rows, from Limits/listLimits."""
	state = states.of(
		rows,
		good,
		u"No tag may be written",
		u"No limits are published: ignition-bridge tags publish.",
	)
	return {"state": state, "rows": [_limit(row) for row in rows] if good and rows else []}


def _limit(row):
	# type: (dict) -> dict
	unit = row["unit"]
	switch = row["data_type"] == "Boolean"
	span = u"%s to %s" % (values.show(row["low"], u""), values.show(row["high"], unit))
	return {
		"equipment": row["equipment_id"],
		"tag": row["tag_path"],
		"type": row["data_type"],
		"range": u"off or on" if switch else span,
		"step": u"\u2013" if row["max_step"] is None or switch else values.show(row["max_step"], unit),
		"interval": u"%s s" % values.show(row["min_interval_s"], u""),
		"hour": row["max_writes_per_hour"],
		"route": row["route"],
	}


def control(rows, good):
	# type: (list, bool) -> dict
	"""Armed or disarmed, who said so, when and why, from Control/getControl."""
	if not good or not rows:
		return {
			"known": False,
			"armed": False,
			"text": u"Not known" if not good else u"Asking",
			"why": u"The database does not answer." if not good else u"",
			"icon": u"material/help",
			"style": u"Chip/Watch" if not good else u"Chip/Calm",
		}
	row = rows[0]
	armed = bool(row["armed"])
	when = row.get("changed_ago_s")
	return {
		"known": True,
		"armed": armed,
		"text": u"Armed: approved writes are carried out" if armed else u"DISARMED: nothing is written",
		"why": u"%s%s: %s"
		% (
			row["changed_by"] or u"somebody",
			u"" if when is None else u", " + wording.ago(when),
			row["reason"] or u"no reason given",
		),
		"icon": u"material/lock_open" if armed else u"material/lock",
		"style": u"Chip/Calm" if armed else u"Chip/Watch",
	}


def sessions(rows, good):
	# type: (list, bool) -> dict
	"""Who is at the HMI, from Sessions/listOperatorSessions."""
	state = states.of(rows, good, u"Nobody is logged in", u"A person appears here after logging in.")
	return {"state": state, "rows": [_session(row) for row in rows] if good and rows else []}


def _session(row):
	# type: (dict) -> dict
	may = row.get("may_decide")
	return {
		"who": row["operator_id"],
		"may": u"not said" if may is None else u"yes" if may else u"no",
		"looking": row.get("looking_at") or u"",
		"approved": row.get("approved_recommendations") or 0,
		"rejected": row.get("rejected_recommendations") or 0,
		"since": row.get("login_timestamp"),
	}
