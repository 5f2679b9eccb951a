"""The final state of every group in Cassandra, made from `relation-events` and `channel-members`.

Rows are written under the group's version as their timestamp, so that nothing that comes twice or late changes them.
What follows by rule is not written: a row that refers to something counts from that thing's `since` on, and an older
one refers to an earlier thing of that name. So a million references end by one row that is gone. See
docs/final-state.md.
"""
