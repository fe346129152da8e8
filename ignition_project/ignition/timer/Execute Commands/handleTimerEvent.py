def handleTimerEvent():
	bridge.gateway.executePendingCommands()
