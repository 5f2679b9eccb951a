"""How rows are keyed: a byte for the noun, names ended by NUL, numbers big-endian, so that scans are ordered."""

from __future__ import annotations

from typing import Final

END: Final = b"\0"

STAMP: Final = b"!"  # which version the rows of the partition are in

# Rows of the groups role.
GROUP: Final = b"g"  # + group: what the group is
PAGE: Final = b"m"  # + group + page: its members by ordinal
DELTA: Final = b"o"  # + group + ordinal: one member changed since the page was written
CHANNEL: Final = b"c"  # + group + channel: seq, counter, newest sends
SENDS: Final = b"r"  # + group + channel + chunk: older sends, for resends
BINDING: Final = b"b"  # + link + epoch + group + page: which slots listen for which ordinals
AUDIENCE: Final = b"u"  # + group + life + audience: its version, its places, the links that know it
QUIET: Final = b"q"  # + group + channel: the head is to be announced once more
CHANGED: Final = b"t"  # + group: what changed and is still to be told to those who listen
SUBSCRIBED: Final = b"e"  # + link + epoch + group + level + channel + chunk: slots that subscribed
BACKGROUND: Final = b"f"  # + link + epoch + chunk: slots that are in the background
UNREAD: Final = b"l"  # + group + channel: new messages that are still to be told as a notice
CHORE: Final = b"w"  # + what: a clean-up under way
NUMBERS: Final = b"n"  # the last lot's number for each link
ACKNOWLEDGING: Final = b"K"  # the links that acknowledge, and which of them are overrun
EXPIRY: Final = b"d"  # + moment + group + life + what: a request or code ends then

# Rows of the parts of a group: + group + first ordinal of its life, so that a later life sees none of them.
CHANGE_SET: Final = b"h"  # + change set: how far it got
MUTE: Final = b"z"  # + ordinal: until when the member is muted
BAN: Final = b"x"  # + user: until when the user is kept out
PROFILE: Final = b"p"  # + ordinal: what the member is in the group
ORIGIN: Final = b"j"  # + page: since when, and how, the members of a page of ordinals are such
REQUEST: Final = b"i"  # + kind + id: an invite or application
REQUEST_OF: Final = b"a"  # + kind + user: the id of the open one of a user
CODE: Final = b"y"  # + code: an invite code
MEMBERS_PARTS: Final = (CHANGE_SET, MUTE, BAN, PROFILE, ORIGIN, REQUEST, REQUEST_OF, CODE)
ROLE: Final = b"R"  # + role: what it is
HOLDERS: Final = b"H"  # + role + chunk: its members
PLACE: Final = b"P"  # + place: a channel or category, the roles on its lists, its overrides
LISTED: Final = b"L"  # + place + list + chunk: the users on a list
STRUCTURE_PARTS: Final = (ROLE, HOLDERS, PLACE, LISTED)
#: What the clean-up of an ended group removes, beside its members: all that is keyed by its life.
PARTS: Final = (*MEMBERS_PARTS, *STRUCTURE_PARTS, AUDIENCE)

# Rows of the users role.
SESSIONS: Final = b"s"  # + user: the user's sessions
ASKED: Final = b"e"  # + user + link + epoch + slot + group: what of it the session subscribed to
WATCHED: Final = b"x"  # + user + link + epoch + slot: whom the session watches
WATCHERS: Final = b"w"  # + user + link + epoch: the sessions there that watch the user
STATE: Final = b"p"  # + user: the user's state, status and their version
DUE: Final = b"d"  # + moment + user: something of the user's ends or is told then
DEATH: Final = b"a"  # + link + epoch: registrations that died of late: their sessions are still to end
INBOX: Final = b"i"  # + user: the numbers of the user's inbox
NOTICE: Final = b"j"  # + user + number: a notice in it
NEWEST: Final = b"h"  # + user + group + kind: the number of the newest notice of that kind
ROLL: Final = b"l"  # + group + first ordinal: users of this partition who joined together
USERS_ON: Final = b"~u"  # + link + epoch + user: who has sessions on the link; local, made anew from the sessions
GROUPS_OF: Final = b"~i"  # + user + group: where the user's membership stands; local, made anew from the rolls

# Rows of both, and of `links`.
POLICY: Final = b"Y"  # + app: the app's policy
VOID: Final = b"v"  # + link: its highest void epoch
LINK: Final = b"k"  # + link: its registration


def name(prefix: bytes, *names: bytes) -> bytes:
    """The key, or key prefix, of what these names lead to."""
    return prefix + END.join((*names, b""))


def u32(number: int) -> bytes:
    """Four bytes that sort as the number does."""
    return number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    """Eight bytes that sort as the number does."""
    return number.to_bytes(8, "big")
