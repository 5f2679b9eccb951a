"""What can go wrong for a gateway. Each error has a `code` for programs, and a text that says what to do next."""

from __future__ import annotations

from typing import ClassVar

from linkcast_gateway.wire import Refused


class GatewayError(Exception):
    """Base of all errors here.

    Attributes:
        code: names the error, for programs; it never changes.
    """

    code: str = "gateway_error"


class NotRegisteredError(GatewayError):
    """The link has no living registration just now, or the session belonged to an earlier one. Nothing was done."""

    code = "not_registered"


class SlotsUsedUpError(NotRegisteredError):
    """Every slot of this epoch was given away. Stop the link and start it: the next epoch has all of them again."""

    code = "slots_used_up"


class StoppedError(NotRegisteredError):
    """The link was stopped, or never started."""

    code = "stopped"


class BadIdError(GatewayError, ValueError):
    """An id that the pipeline would reject without an answer."""

    code = "bad_id"


class KafkaAwayError(GatewayError):
    """Kafka took no record for long, and what waits for it is as much as may wait. Refuse clients, try again later."""

    code = "kafka_away"


class UnansweredError(GatewayError):
    """A send was never answered, as often as it was repeated; later than this the pipeline knows no resend.

    It may have been accepted or not. Sent with another client id, it is a new message.
    """

    code = "unanswered"


class RefusedError(GatewayError):
    """The pipeline refused a send; `code` is the refusal's.

    Attributes:
        answer: the refusal as it came.
    """

    def __init__(self, answer: Refused) -> None:
        super().__init__(f"refused: {answer.code}")
        self.answer = answer
        self.code = answer.code


class UnknownVersionError(GatewayError):
    """The pipeline writes a schema version that came later than this library. Upgrade it.

    Nothing is guessed: from this record on nothing is delivered, and the link has left.

    Attributes:
        version: the version read.
    """

    code = "unknown_version"
    _TEXT: ClassVar[str] = "a record of schema version {}, where {} is the latest known here: upgrade linkcast-gateway"

    def __init__(self, version: int, known: int) -> None:
        super().__init__(self._TEXT.format(version, known))
        self.version = version


class PullError(GatewayError):
    """A pull failed. Its text is its code: `not_stored_yet` means soon again, `away` that no view answered."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
