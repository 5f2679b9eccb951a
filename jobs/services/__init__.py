"""Kafka, Redis and Cassandra on this machine, from jars or with Docker: started, stopped, killed and watched.

From jars, everything they keep lies under `<data>/services/<name>`; with Docker, in volumes that belong to the data
folder. Nothing that was not started from the same data folder is ever ended.
"""

from jobs.services.control import ALL, Services
from jobs.services.way import Status

__all__ = ["ALL", "Services", "Status"]
