"""Kafka, Redis and Cassandra on this machine, without Docker: started, stopped, killed and watched.

Everything they keep lies under `<data>/services/<name>`; their jars under `<cache>`. Only processes that were started
from the same data folder are ever signalled.
"""

from jobs.services.control import ALL, Services, Status

__all__ = ["ALL", "Services", "Status"]
