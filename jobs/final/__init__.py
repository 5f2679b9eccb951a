"""`linkcast verify relations`: whether the final state in Cassandra says what the views say."""
