def handleMessage(session, payload):
	bridge.hmi.agentChanged(session, payload)
