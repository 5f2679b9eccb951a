"""The users role: who is online where, in which groups; each session bound to its user's groups."""
