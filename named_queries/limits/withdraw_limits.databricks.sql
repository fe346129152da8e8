-- name: withdraw_limits
-- what: Take tags off the allow-list.
-- param: tag_paths text[], unused here: a statement takes fewer values than a plant may have tags
-- param: withdrawn text[], the tags that go
-- role: owner
delete from tag_limits
where tag_path in (:withdrawn)
