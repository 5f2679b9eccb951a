"""What is started: services, topics, workers, and the commands a person types."""
