"""The sinks role: `history` into Cassandra, the newest messages into Redis, and how far that has come into `stored`."""
