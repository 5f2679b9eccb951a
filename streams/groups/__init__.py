"""The groups role: members, bindings and seqs of the groups of a partition; one entry a link for each message."""
