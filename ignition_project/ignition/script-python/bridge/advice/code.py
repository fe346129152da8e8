# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""What an advisor (Genie, a model) said of a recommendation: as text, with its origin and what was not taken over.

Its words are shown and never obeyed. Components show them in `props.text`, where markup is text.
"""

from bridge import wording

_VOICES = {"genie": u"Genie", "llm": u"A model"}
_LONGEST = 1500


def voice(source):
	# type: (str) -> str
	"""Whose words the cause is in: `Genie`, `A model`; empty for the rules' own and for other agents'."""
	return _VOICES.get(source, u"")


def source(name):
	# type: (str) -> str
	"""Where a proposal comes from, for people: what was only advised on is the rules' still."""
	who = voice(name)
	return u"rules, advised by %s" % (who[:1].lower() + who[1:] if name == "llm" else who) if who else name


def said(source, text):
	# type: (str, str) -> str
	"""The cause, led by who says so where it is not the rules."""
	who = voice(source)
	return u"%s: %s" % (who, text) if who and text else text or u""


def lines(evidence):
	# type: (dict) -> list
	"""Pairs of name and text for the evidence of a recommendation; empty when nobody was asked."""
	found = evidence.get("advisor")
	if not isinstance(found, dict):
		return []
	if found.get("state") != "given":
		return _without(found)
	told = [(u"Advice", u"%s, %s" % (_text(found, "by"), _when(found)))]
	if found.get("explanation"):
		told.append((u"Explanation", _text(found, "explanation")))
	told.append((u"Its choice", _choice(found)))
	told += [(u"Not proposed", _short(each)) for each in _listed(found, "notes")]
	told += [(u"Not taken over", _short(each)) for each in _listed(found, "refused")]
	if found.get("confidence") is not None:
		told.append((u"Rates itself", wording.percent(found["confidence"])))
	rules = _part(found, "rules")
	for key, name in (("root_cause", u"Rules say"), ("action", u"Rules proposed")):
		if rules.get(key):
			told.append((name, _text(rules, key)))
	return told + _origin(_part(found, "provenance"))


def _without(found):
	# type: (dict) -> list
	text = u"%s gave none, so this is the rules' own: %s" % (_text(found, "by"), _text(found, "reason"))
	again = _text(found, "again")
	return [(u"No advice", u"%s (%s%s)" % (text, _when(found), u"; %s" % again if again else u""))]


def _choice(found):
	# type: (dict) -> str
	chosen, named = _text(found, "remedy"), [_short(each) for each in _listed(found, "candidates")]
	if chosen:
		return u"%s, a configured remedy" % chosen
	return u"none that may be proposed; it named %s" % u", ".join(named) if named else u"no configured remedy named"


def _origin(origin):
	# type: (dict) -> list
	told = []
	for key, name in (
		("model", u"Model"),
		("space", u"Genie space"),
		("conversation_id", u"Conversation"),
		("message_id", u"Message"),
		("sql", u"Its query"),
		("rows", u"Rows it gave"),
	):
		if origin.get(key) is not None:
			told.append((name, _text(origin, key)))
	return told


def _when(found):
	# type: (dict) -> str
	"""The moment in UTC, as the bridge wrote it."""
	return u"%s UTC" % _text(found, "at_utc")[:19].replace(u"T", u" ")


def _part(found, key):
	# type: (dict, str) -> dict
	part = found.get(key)
	return part if isinstance(part, dict) else {}


def _listed(found, key):
	# type: (dict, str) -> list
	part = found.get(key)
	return part if isinstance(part, list) else []


def _text(found, key):
	# type: (dict, str) -> str
	value = found.get(key)
	text = u"" if value is None else u"%s" % (value,)
	return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + u"\u2026"


def _short(value):
	# type: (object) -> str
	return wording.clipped(u"%s" % (value,), 300)
