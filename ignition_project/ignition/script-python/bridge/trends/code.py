# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Trends of one equipment for the time series chart: measured values, their limit, and where the anomaly lies."""

from bridge import config, timeline, wording

_LINE = {"color": u"var(--neutral-80)", "width": 2, "dashArray": u"none"}
_LIMIT = {"color": u"var(--warning)", "width": 2, "dashArray": u"8 4"}
_ANOMALY = {"color": u"var(--error)", "width": 5, "dashArray": u"none"}


def chart(rows, good, evidenceText):
	# type: (list, bool, str) -> dict
	"""Series and plots from the rows of Readings/sensorTrend, one plot a signal that has values.

	`rows` is None before the first answer, `good` False while the database does not answer; `note` says which.

	The signal of the evidence is drawn first, with its limit as a broken line and, from the moment it went
	wrong, as a thick one: told apart by shape as well as by colour. Of each stretch of time its worst value is
	drawn, for an average would hide the very peak that the recommendation is about.
	"""
	evidence = timeline.document(evidenceText)
	signals = [each for each in config.SIGNALS if good and _has(rows, each[0])]
	signals.sort(key=lambda each: each[0] != evidence.get("signal"))
	series, plots = [], []
	for name, label, unit in signals:
		marked = name == evidence.get("signal")
		limit = evidence.get("limit") if marked else None
		since = timeline.moment(evidence.get("since_utc")) if marked else None
		below = limit is not None and evidence.get("value") is not None and evidence["value"] < limit
		source = name if limit is None else name + ("_min" if below else "_max")
		ends = [row["t_stamp"] for row in rows[1:]] + [None]
		data = [_point(row, source, label, limit, since, below, end) for row, end in zip(rows, ends)]
		series.append({"name": label, "data": data})
		plots.append(_plot(label, u"%s in %s" % (label, unit), limit is not None, since is not None))
	note = _note(rows, good)
	return {"series": series, "plots": plots, "empty": not series, "note": note, "legend": _legend(evidence)}


def _note(rows, good):
	# type: (list, bool) -> str
	"""Why there is no line to see; nothing measured, nothing asked yet and no answer are three things."""
	if not good:
		return u"The database does not answer, so there is no trend to show."
	return u"Loading the trend." if rows is None else u"No values in this time."


def _legend(evidence):
	# type: (dict) -> str
	"""What the lines of the chart mean, in words."""
	if evidence.get("limit") is None:
		return u""
	limit = wording.measured(evidence["limit"], evidence.get("unit"))
	return u"Broken line: limit %s. Thick line: out of its limit. Each point is the worst value of its time." % limit


def _has(rows, name):
	# type: (list, str) -> bool
	return any(row.get(name) is not None for row in rows or [])


def _point(row, name, label, limit, since, below, end):
	# type: (dict, str, str, float, float, bool, float) -> list
	"""(column, value) pairs: the chart takes the first column as the time, and a dict has no first.

	`end` is when the next point begins, None for the last: the stretch in which it went wrong counts as a whole.
	"""
	at, value = row["t_stamp"], row[name]
	point = [(u"t_stamp", at), (label, value)]
	if limit is not None:
		point.append((u"Limit", limit))
	if since is not None:
		point.append((u"Out of limit", value if _over(end, since) and _beyond(value, limit, below) else None))
	return point


def _over(end, since):
	# type: (float, float) -> bool
	return end is None or end > since


def _beyond(value, limit, below):
	# type: (float, float, bool) -> bool
	if value is None or limit is None:
		return value is not None
	return value <= limit if below else value >= limit


def _plot(name, label, limited, marked):
	# type: (str, str, bool, bool) -> dict
	columns = [{"key": name, "stroke": dict(_LINE)}]
	if limited:
		columns.append({"key": u"Limit", "stroke": dict(_LIMIT)})
	if marked:
		columns.append({"key": u"Out of limit", "stroke": dict(_ANOMALY)})
	return {
		"relativeWeight": 1,
		"axes": [{"name": name, "label": {"text": label, "visible": True}}],
		"trends": [{"series": name, "axis": name, "type": u"line", "columns": columns}],
	}
