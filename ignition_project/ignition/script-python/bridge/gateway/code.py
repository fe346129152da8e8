# One of the two modules that touch `system` and Java (`hmi` is the other). Every decision is made in the pure ones.
"""The gateway's part: execute approved commands on its own tags, watch the agent, keep operator sessions.

claim -> check what was approved -> read the tag -> check again -> commit the intent -> write -> read back ->
record the verdict. A run that dies anywhere in between leaves a row that says how far it came: what was
not sent is given back, what was sent is read back, and nothing is ever written twice.
"""

import json
import traceback
from uuid import uuid4

import system
from bridge import config, datasets, decisions, qualities, refusals, verdicts, wording
from java.lang import System, Thread, Throwable

# Java exceptions of `system` functions are no Python exceptions, and the other way round.
ANY_FAILURE = (Exception, Throwable)

LOGGER = system.util.getLogger("bridge.gateway")

_failing = {}  # duty -> what failed last time: changes are logged, not every run


def executePendingCommands():
	# type: () -> None
	"""One run of the timer `Execute Commands`: end what was left open, then execute what is approved."""
	_guarded("settle", _settleWhatWasLeft)
	_guarded("execute", _executeWhatIsPending)


def watchAgent():
	# type: () -> None
	"""One run of the timer `Watch Agent`: put the bridge's state into tags, and say when the agent comes or goes."""
	_guarded("watch", _watch)


def openSession(session):
	# type: (object) -> str
	"""Record who is at this Perspective session and what that login may do; call it after every login and logout.

	Returns the session's key for countDecision, or None when nobody is logged in.
	"""
	operator = operatorOf(session)
	if not operator:
		closeSession(session)  # whoever was logged in here is not any more
		return None
	key = _sessionKey(session, operator)
	query(
		"Sessions/openOperatorSession",
		{
			"session_id": key,
			"operator": operator,
			"may_decide": bool(system.perspective.isAuthorized(False, config.DECIDES, session.props.id)),
			"may_arm": bool(system.perspective.isAuthorized(False, config.ARMS, session.props.id)),
		},
	)
	return key


def closeSession(session):
	# type: (object) -> None
	"""Record that this Perspective session ended."""
	query("Sessions/closeOperatorSession", {"perspective_id": u"%s" % session.props.id})


def countDecision(session, decision):
	# type: (object, str) -> None
	"""Count an approval (`approved`) or rejection (`rejected`) for the operator of this session.

	A consequence, not a command: when counting fails, the decision stands and the log says so.
	"""
	try:
		key = openSession(session)
		if key is not None:
			query("Sessions/countDecision", {"session_id": key, "decision": decision})
	except ANY_FAILURE as problem:
		LOGGER.warn(u"session.uncounted decision=%s reason=%s" % (decision, sentence(problem)))


def operatorOf(session):
	# type: (object) -> str
	"""The person who is logged in, as the identity provider names them; empty for an anonymous session."""
	auth = session.props.auth
	return (auth.user.userName or u"") if auth.authenticated else u""


# Executing


def _executeWhatIsPending():
	# type: () -> None
	started_s = _now_s()
	while _now_s() - started_s < config.PASS_S:
		holder = _holder()
		claimed_s = _now_s()  # before the question, so that we never think the lease longer than it is
		commands = query(
			"Commands/getPendingCommands",
			{
				"claimed_by": holder,
				"lease_s": config.LEASE_S,
				"approval_valid_s": config.APPROVAL_VALID_S,
				"max_commands": config.MAX_COMMANDS,
			},
		)
		if not commands or not _carryOut(commands, holder, claimed_s):
			return


def _carryOut(commands, holder, claimed_s):
	# type: (list, str, float) -> bool
	"""Carry claimed commands to their tags; False when claiming again at once makes no sense."""
	leaseEnds_s = claimed_s + min(command["lease_left_s"] for command in commands)
	endings, ready = _check(commands)
	going, unsent = [], [command["command_id"] for command, _ in ready]
	if ready and _mayWrite(leaseEnds_s):
		going, unsent = _commitIntent(ready, holder)
	if going and not _mayWrite(leaseEnds_s):
		late = refusals.Refusal(refusals.LEASE_LOST, u"the gateway was too slow; nothing was written")
		endings.extend(verdicts.refused(command, late) for command, _ in going)
		going = []
	sent = _write(going)
	_release(unsent, holder)
	_record(endings, holder)
	_readBack(sent, holder, leaseEnds_s)
	return not unsent


def _check(commands):
	# type: (list) -> tuple
	"""(verdicts on what must not be written, [(command, value)] of what may be)."""
	endings, approved = [], []
	for command in commands:
		value, refusal = decisions.approvedWrite(command)
		if refusal is None:
			approved.append((command, value))
		else:
			endings.append(verdicts.refused(command, refusal))
	readings = _read([command["tag_path"] for command, _ in approved])
	now_s = _now_s()
	ready = []
	for command, value in approved:
		refusal = decisions.stillRight(command, value, readings.get(command["tag_path"]), now_s)
		if refusal is None:
			ready.append((command, value))
		else:
			endings.append(verdicts.refused(command, refusal))
	return endings, ready


def _commitIntent(ready, holder):
	# type: (list, str) -> tuple
	"""([(command, value)] that are now about to be sent, [ids] of what must not be sent)."""
	ids = [command["command_id"] for command, _ in ready]
	try:
		recorded = query("Commands/recordGatewayIntent", {"command_ids": json.dumps(ids), "claimed_by": holder})
	except ANY_FAILURE as problem:
		# Whether the intent was recorded or not: nothing was sent by us.
		LOGGER.warn(u"command.intent_failed commands=%d reason=%s" % (len(ids), sentence(problem)))
		return [], ids
	allowed = set(row["command_id"] for row in recorded)
	going = [(command, value) for command, value in ready if command["command_id"] in allowed]
	return going, [each for each in ids if each not in allowed]


def _mayWrite(leaseEnds_s):
	# type: (float) -> bool
	"""False when this run slept so long that somebody else may read the tags back before we have written."""
	return _now_s() + config.WRITE_TIMEOUT_MS / 1000.0 < leaseEnds_s


def _write(going):
	# type: (list) -> list
	"""Write once; [(command, value, outcome)]. After this line nothing ever writes these commands again."""
	outcomes = []
	problem = u"the gateway gave no answer for this tag"
	if going:
		try:
			answers = system.tag.writeBlocking(
				[command["tag_path"] for command, _ in going], [value for _, value in going], config.WRITE_TIMEOUT_MS
			)
			outcomes = [qualities.outcomeOf(u"%s" % (answer,), answer.isGood()) for answer in answers]
		except ANY_FAILURE as failure:
			problem = sentence(failure)
			LOGGER.warn(u"command.write_failed commands=%d reason=%s" % (len(going), problem))
	outcomes.extend(qualities.undecided(problem) for _ in range(len(going) - len(outcomes)))
	return [(command, value, outcome) for (command, value), outcome in zip(going, outcomes)]


def _readBack(sent, holder, leaseEnds_s):
	# type: (list, str, float) -> None
	"""Read written tags back until each has its verdict, or the lease ends: then a later run reads them back."""
	started_s = _now_s()
	waiting = sent
	while waiting:
		elapsed_s = _now_s() - started_s
		worthReading = [item for item in waiting if item[2].result != qualities.REFUSED]
		readings = _read([command["tag_path"] for command, _, _ in worthReading])
		endings, still = [], []
		for command, value, outcome in waiting:
			lastLook = elapsed_s >= command["settle_s"] + config.TAG_GROUP_S
			verdict = verdicts.verdictOf(command, value, outcome, readings.get(command["tag_path"]), lastLook)
			if verdict is None:
				still.append((command, value, outcome))
			else:
				endings.append(verdict)
		_record(endings, holder)
		waiting = still
		if waiting:
			if _now_s() > leaseEnds_s:
				LOGGER.warn(u"command.left_to_read_back commands=%d" % len(waiting))
				return
			Thread.sleep(config.LOOK_AGAIN_MS)


def _record(endings, holder):
	# type: (list, str) -> None
	"""Record verdicts, many in one commit because the database may be far away.

	When that is refused, one by one: a verdict that cannot be recorded must not hold up the others.
	"""
	if len(endings) > 1:
		try:
			found = query(
				"Commands/recordGatewayVerdicts",
				{"verdicts": json.dumps([_asRow(verdict) for verdict in endings]), "claimed_by": holder},
			)
		except ANY_FAILURE as problem:
			LOGGER.warn(u"command.unrecorded commands=%d reason=%s" % (len(endings), sentence(problem)))
		else:
			recorded = set(row["command_id"] for row in found)
			for verdict in endings:
				_tell(verdict, verdict.command_id in recorded)
			return
	_forEach(endings, lambda verdict: _recordOne(verdict, holder))


def _asRow(verdict):
	# type: (object) -> dict
	return {
		"command_id": verdict.command_id,
		"status": verdict.status,
		"result": verdicts.resultOf(verdict),
		"code": verdict.code,
		"read_back": verdict.read_back,
	}


def _recordOne(verdict, holder):
	# type: (object, str) -> None
	parameters = _asRow(verdict)
	parameters["claimed_by"] = holder
	del parameters["status"]
	if verdict.status == verdicts.EXECUTED:
		del parameters["code"]
		path = "Commands/markCommandExecuted"
	elif verdict.status == verdicts.FAILED:
		path = "Commands/markCommandFailed"
	else:
		path = "Commands/markCommandUnknown"
	_tell(verdict, bool(query(path, parameters)))


def _release(ids, holder):
	# type: (list, str) -> None
	"""Give back what was never sent; when that fails, the end of the lease does the same."""
	if not ids:
		return
	try:
		found = query("Commands/releaseGatewayCommands", {"command_ids": json.dumps(ids), "claimed_by": holder})
		LOGGER.info(u"command.released command_ids=%s" % u",".join(row["command_id"] for row in found))
	except ANY_FAILURE as problem:
		LOGGER.warn(u"command.unreleased command_ids=%s reason=%s" % (u",".join(ids), sentence(problem)))


# What earlier runs left behind


def _settleWhatWasLeft():
	# type: () -> None
	"""Give back what a dead run never sent, and end what it sent by what the tags show now."""
	left = query("Commands/listGatewayUnsettled", {"patience_s": config.LEASE_S})
	_release([command["command_id"] for command in left if not command["sent"]], u"")
	sent = [command for command in left if command["sent"]]
	readings = _read([command["tag_path"] for command in sent])
	_forEach(sent, lambda command: _settleOne(command, readings.get(command["tag_path"])))


def _settleOne(command, reading):
	# type: (dict, object) -> None
	verdict = verdicts.lateVerdict(command, reading)
	if verdict.status == command["status"]:
		return  # still unknown: nothing new to record
	parameters = _asRow(verdict)
	parameters["from_status"] = command["status"]
	parameters["settled_by"] = _holder()  # a gateway, and so no person: the audit trail tells them apart
	_tell(verdict, bool(query("Commands/settleGatewayCommand", parameters)), late=True)


# Watching


def _watch():
	# type: () -> None
	folder = config.AGENT_FOLDER
	before = _read([folder + "/Online"]).get(folder + "/Online")
	try:
		found = query(
			"Health/watchAgent", {"agent_id": config.AGENT_ID, "offline_after_s": config.OFFLINE_AFTER_S}
		)
		tags = wording.watched(found[0])
	except ANY_FAILURE as problem:
		tags = wording.databaseSilent(sentence(problem))
	tags["LookedAt"] = system.date.now()
	names = sorted(tags)
	paths = [u"%s/%s" % (folder, name) for name in names]
	answers = system.tag.writeBlocking(paths, [tags[name] for name in names], config.WRITE_TIMEOUT_MS)
	if before is None or before.value != tags["Online"]:
		_announce(tags)
	unwritten = [u"%s %s" % (path, answer) for path, answer in zip(paths, answers) if not answer.isGood()]
	if unwritten:
		raise ValueError(u"agent tags were not written, import tags/tags.json: %s" % u", ".join(unwritten))


def _announce(tags):
	# type: (dict) -> None
	"""Tell the log and the open sessions; both are a courtesy, the tags are what counts."""
	if tags["Online"]:
		LOGGER.info(u"agent.online message=%s" % tags["LastMessage"])
	else:
		LOGGER.warn(u"agent.offline message=%s" % tags["LastMessage"])
	try:
		payload = {"online": tags["Online"], "message": tags["LastMessage"]}
		system.util.sendMessage(_project(), config.AGENT_MESSAGE, payload, scope="S")
	except ANY_FAILURE as problem:
		LOGGER.warn(u"agent.unannounced reason=%s" % sentence(problem))


# Touching the gateway


def query(path, parameters):
	# type: (str, dict) -> list
	"""Run a named query of this project and return its rows as dicts."""
	if hasattr(system.db, "execQuery"):  # 8.3
		return datasets.rows(system.db.execQuery(path, parameters, project=_project()))
	return datasets.rows(system.db.runNamedQuery(_project(), path, parameters))


def _read(paths):
	# type: (list) -> dict
	"""What the tags show now, by path; a tag that cannot be read is simply not there."""
	if not paths:
		return {}
	try:
		found = system.tag.readBlocking(paths, config.READ_TIMEOUT_MS)
	except ANY_FAILURE as problem:
		LOGGER.warn(u"tag.unreadable tags=%d reason=%s" % (len(paths), sentence(problem)))
		return {}
	at_s = _now_s()
	return dict(
		(path, qualities.Reading(one.value, u"%s" % (one.quality,), one.quality.isGood(), at_s))
		for path, one in zip(paths, found)
	)


def _project():
	# type: () -> str
	return system.util.getProjectName()


def _holder():
	# type: () -> str
	"""A name of its own for every claim: a run that was thought dead cannot speak for the next one."""
	return u"gateway/%s/%s" % (_project(), uuid4().hex[:8])


def _sessionKey(session, operator):
	# type: (object, str) -> str
	return u"%s/%s" % (session.props.id, operator)


def _now_s():
	# type: () -> float
	"""A clock that only goes forward, also when somebody sets the time."""
	return System.nanoTime() / 1e9


def _guarded(name, work):
	# type: (str, object) -> None
	"""Run one duty so that its failure does not keep the others from running, and is told once, not every run."""
	try:
		work()
	except ANY_FAILURE as problem:
		said = sentence(problem)
		if _failing.get(name) != said:
			LOGGER.error(u"%s.failed reason=%s\n%s" % (name, said, traceback.format_exc()))
		_failing[name] = said
	else:
		if _failing.pop(name, None) is not None:
			LOGGER.info(u"%s.works_again" % name)


def _forEach(items, work):
	# type: (list, object) -> None
	"""Do `work` for each; one that fails does not hold up the others, three in a row mean that nothing works."""
	inARow = 0
	for item in items:
		try:
			work(item)
			inARow = 0
		except ANY_FAILURE as problem:
			inARow += 1
			LOGGER.warn(u"command.unrecorded reason=%s" % sentence(problem))
			if inARow == 3:
				raise


def _tell(verdict, recorded, late=False):
	# type: (object, bool, bool) -> None
	"""The one line of a command from claim to verdict."""
	confirmed = verdict.status == verdicts.EXECUTED
	line = u"command.%s command_id=%s recommendation_id=%s result=%s" % (
		u"verified" if confirmed else verdict.status,
		verdict.command_id,
		verdict.recommendation_id,
		verdicts.resultOf(verdict),
	)
	if late:
		line += u" (found by a later run)"
	if not recorded:
		line += u" (not recorded: somebody else ended it meanwhile)"
	if confirmed and recorded:
		LOGGER.info(line)
	else:
		LOGGER.warn(line)


def sentence(problem):
	# type: (object) -> str
	"""What went wrong at the root: Ignition wraps the database's own words in exceptions of its own."""
	for _ in range(10):
		cause = problem.getCause() if hasattr(problem, "getCause") else None
		if cause is None:
			break
		problem = cause
	return u"%s" % (problem,)
