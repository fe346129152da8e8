# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Names of refusals: the words that the bridge and the database use. Logs and tests match on these."""

from collections import namedtuple

NOT_LISTED = "not_listed"
WRONG_TYPE = "wrong_type"
WRONG_UNIT = "wrong_unit"
WRONG_ROUTE = "wrong_route"
WRONG_FORM = "wrong_form"
OUT_OF_RANGE = "out_of_range"
STEP_TOO_LARGE = "step_too_large"
TOO_SOON = "too_soon"
TOO_MANY_WRITES = "too_many_writes"
READING_TOO_OLD = "reading_too_old"
BAD_QUALITY = "bad_quality"
UNREADABLE = "unreadable"
MOVED_AWAY = "moved_away"
NO_CHANGE = "no_change"
NOT_APPROVED = "not_approved"
DIGEST_MISMATCH = "digest_mismatch"
LINK_DOWN = "link_down"
REFUSED_BY_SERVER = "refused_by_server"
READ_BACK_DIFFERS = "read_back_differs"
NOT_CONFIRMED = "not_confirmed"
LEASE_LOST = "lease_lost"

# A named no: `code` for machines, `reason` for the person who reads it at night.
Refusal = namedtuple("Refusal", ["code", "reason"])
