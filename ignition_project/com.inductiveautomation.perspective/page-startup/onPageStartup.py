def onPageStartup(page):
	bridge.hmi.started(page.session)
