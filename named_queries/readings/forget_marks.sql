-- name: forget_marks
-- what: Remove the marks of one buffer whose batches are all stored, except those in use.
-- param: buffer text, what its origins begin with
-- param: in_use text[], origins that still number batches
-- role: bridge_agent
delete from intake_marks where starts_with(origin, :buffer) and origin <> all(cast(:in_use as text[]))
