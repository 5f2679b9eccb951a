"""Where deliveries may go: a record that names another place is rejected."""

from __future__ import annotations

from topics.codec import Malformed
from topics.wire import ReplyTo, ToSession


class Addresses:
    """The partitions of `deliveries`.

    Attributes:
        links: how many there are.
    """

    def __init__(self, links: int) -> None:
        self.links = links

    def check_address(self, reply: ReplyTo | None) -> None:
        """Refuse an address that no delivery could be written to.

        Raises:
            Malformed: the record is to be rejected.
        """
        if isinstance(reply, ToSession):
            self.check_partition(reply.partition)

    def check_partition(self, partition: int) -> None:
        """Refuse a partition that there is not.

        Raises:
            Malformed: the record is to be rejected.
        """
        if partition >= self.links:
            raise Malformed("bad_address", f"partition {partition} of {self.links}")
