"""What a worker tells Prometheus: counted once a batch by those who work, gathered only when somebody asks."""
