def onShutdown(session):
	bridge.hmi.ended(session)
