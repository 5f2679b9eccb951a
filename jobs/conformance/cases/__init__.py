"""All cases, in the order of the contract."""

from typing import Final

from jobs.conformance.case import Case, cases_of
from jobs.conformance.cases import audiences, clients, deliveries, life, listening, sessions

CASES: Final[dict[str, Case]] = cases_of(life, sessions, deliveries, audiences, listening, clients)
