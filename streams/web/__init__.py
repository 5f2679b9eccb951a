"""Web views: each worker answers on a server of its own; any worker answers for any partition."""
