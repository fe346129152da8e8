def onStartup(session):
	bridge.hmi.started(session)
