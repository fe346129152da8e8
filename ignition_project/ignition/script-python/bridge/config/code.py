# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""The numbers and names an integrator may want to change. Seconds end in _S, milliseconds in _MS."""

# The agent whose heartbeat is watched, as agent.id in bridge.toml. Empty: every agent that ever reported.
AGENT_ID = ""

# Silence after which an agent counts as offline: three heartbeats of the bridge (agent.heartbeat_s).
OFFLINE_AFTER_S = 15.0

# Silence after which a page says that the database does not answer: four polls of Health/watchAgent. A query
# that hangs fails nowhere, so the views measure it. Sessions get these three numbers when they start.
SILENT_AFTER_S = 8.0

# How long an approval may wait for its write. Not above agent.approval_valid_s of bridge.toml: here it
# holds also while the bridge is away and cannot cancel what has lapsed.
APPROVAL_VALID_S = 300.0

# How long a claim lasts. Longer than reading, writing and reading back together, so that nothing can be
# on its way any more when somebody else reads back what became of it.
LEASE_S = 30.0

# Ignition's own limit is 45 s, longer than the lease.
READ_TIMEOUT_MS = 3000
WRITE_TIMEOUT_MS = 5000

# What one claim takes at the most, and how long one run of the timer goes on claiming.
MAX_COMMANDS = 200
PASS_S = 20.0

# Added to the settle time of every tag: a tag shows a new value only with the next update of its tag group.
TAG_GROUP_S = 2.0
LOOK_AGAIN_MS = 100

# Where the instance of the Agent type lies.
AGENT_FOLDER = "[default]Bridge/Agent"

# The message that Perspective sessions get when the agent comes or goes.
AGENT_MESSAGE = "bridge-agent-changed"

# Values older than this are shown as stale.
STALE_AFTER_S = 30.0

# What the three columns of sensor_data are measured in; further signals bring no unit of their own.
SIGNALS = (
	("temperature", u"Temperature", u"\u00b0C"),
	("pressure", u"Pressure", u"bar"),
	("flow_rate", u"Flow rate", u"l/min"),
)

# Cards on one page of a list: more than an operator looks through, fewer than a browser minds.
CARDS = 20

# Who may do what, as the gateway's security levels name them.
DECIDES = ["Authenticated/Roles/Operator"]
ARMS = ["Authenticated/Roles/Engineer"]
DISARMS = ["Authenticated/Roles/Operator", "Authenticated/Roles/Engineer"]
