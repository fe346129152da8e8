def handleTimerEvent():
	bridge.gateway.watchAgent()
