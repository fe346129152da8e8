-- name: withdraw_limits
-- what: Take every tag off the allow-list that is not among these.
-- param: tag_paths text[], the tags that stay
-- role: owner
delete from tag_limits
where tag_path not in (:tag_paths)
