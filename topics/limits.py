"""Every limit of the pipeline, in one place; the docs list them from here."""

from __future__ import annotations

from typing import Final

# What a caller may send.
ID_CHARS: Final = 64  # an app, group, user, link, device, request or client id
BODY_BYTES: Final = 16 * 1024  # a message's body
BODY_DEPTH: Final = 64  # arrays and objects of a body inside one another
BODY_DIGITS: Final = 4_096  # digits of a body's numbers in a row: some languages' parsers take no more
LOT_USERS: Final = 10_000  # users in one relations record
NAME_CHARS: Final = 128  # a name or nick
TOPIC_CHARS: Final = 1_024  # a topic
AVATAR_CHARS: Final = 1_024  # a reference to a picture
CUSTOM_CHARS: Final = 4_096  # a custom field
REQUEST_CHARS: Final = 512  # the text of an invite or application
RECORD_BYTES: Final = 1 << 20  # one record, in or out

# Groups; an app's policy may set those marked * lower or higher, up to ten times.
CHANNELS: Final = 500  # * channels of a server
CATEGORIES: Final = 50  # * categories of a server
ROLES: Final = 250  # * roles of a group, without `everyone`
ROLES_OF_MEMBER: Final = 50  # roles of one member that count; the highest do
LIST_ROLES: Final = 100  # roles on a list
OVERRIDES: Final = 100  # overrides of a channel or category
GROUP_MEMBERS: Final = 10_000_000  # * members of a group
MUTED_MEMBERS: Final = 10_000  # * members of a group muted at once
BANNED_USERS: Final = 1_000_000  # * users banned from a group at once
OPEN_REQUESTS: Final = 10_000  # * open invites and applications of a group
OPEN_CODES: Final = 100  # * invite codes of a group
CODE_USES: Final = 1_000_000  # uses of an invite code
REQUEST_MS: Final = 7 * 86_400_000  # * how long an invite, application or code lasts at most
REQUEST_ENDED_MS: Final = 3_600_000  # how long one that ended is known, so that the same answer twice is harmless
EXPIRIES: Final = 256  # invites, applications and codes that one batch ends because their time has come
CHANGE_SET_PARTS: Final = 10_000  # parts of a change set
CHANGE_SETS: Final = 64  # change sets of a group whose progress is kept; the oldest is forgotten
CHANGE_SET_IDLE_MS: Final = 60_000  # a change set that got no part for this long is no longer under way
CHANNEL_LIST_MEMBERS: Final = 2_000  # * a channel that more see keeps no sorted list of them: it is paged from metadata
BOUND_HEADS: Final = 16  # channels of a group up to which a new listener is told their heads

# Notices.
NOTICE_USERS: Final = 100  # * a change that names more users writes no notice to each of them
NOTICES_KEPT: Final = 500  # notices in a user's inbox; the oldest go
NOTICE_DAYS: Final = 30  # how long one is kept
NOTICE_WINDOW_MS: Final = 200  # * notices of a group to a link within it are one
NOTICE_CHANNELS: Final = 16  # channels that one notice names; where more changed it names none

# Sessions, subscriptions, presence.
SESSIONS_PER_USER: Final = 64  # connections of one user at once, those lost of late among them
RESUME_MS: Final = 60_000  # * how long a session that was lost may be resumed
GROUND_WINDOW_MS: Final = 5_000  # * a session that comes and goes within it is in the foreground
STATUS_CHARS: Final = 128  # a custom status
SUBSCRIPTIONS_PER_CALL: Final = 100  # subscriptions, or watched users, in one call
SUBSCRIBE_MEMBERS: Final = 2_000  # * members up to which a server is subscribed to by joining
SUBSCRIBE_AGAIN: Final = 0.9  # times as many: a server that shrinks to this is subscribed to by joining again
CHANNELS_SUBSCRIBED: Final = 500  # * channels of a group that a session subscribes to at once
GROUPS_SUBSCRIBED: Final = 500  # * groups of which a session subscribes to anything at once
WATCHED_USERS: Final = 500  # * users whom a session watches at once
WATCHERS: Final = 10_000  # sessions that watch one user at once; more are refused
PRESENCE_WINDOW_MS: Final = 1_000  # * changes of a user's state within it are told as one

# Messages as notices.
MENTIONS: Final = 50  # users whom a message mentions
UNREAD_WINDOW_MS: Final = 200  # * new messages of a channel within it are one notice to a link
STATUS_WINDOW_MS: Final = 5_000  # * and to those who only want to know whether there are any
BURST_PER_S: Final = 100  # * messages a second in a channel above which those who don't show it get notices
BURST_CALM: Final = 0.5  # of that: below it they get messages again
BURST_MS: Final = 2_000  # over how long the rate is taken
BURST_CHANNELS: Final = 16_384  # channels whose rate a partition watches in that time
EXACT_LISTENERS: Final = 256  # a group's sessions on a link up to which it is known whether all are in the background

# How a resend is known [S2].
DEDUPE_WINDOW_MS: Final = 60_000  # a first try older than this is refused as `expired`
DEDUPE_PER_DEVICE: Final = 1_024  # more sends inside the window from one device of one sender are `throttled`
CLOCK_SKEW_MS: Final = 300_000  # how far ahead of the broker's clock a first try may claim to be

# Channels.
RECENT_ENTRIES: Final = 256  # messages a channel keeps in memory
RECENT_BYTES: Final = 64 * 1024  # and their bytes
QUIET_MS: Final = 5_000  # after this long without a message a channel's head is announced once more

# Links.
LINK_TIMEOUT_MS: Final = 10_000  # a link silent for this long is void
LINK_BEAT_MS: Final = 1_000  # how often a gateway's link, and the owner of `links`, beat
LINK_GAP_MS: Final = 2_000  # silence counts at most this much between two records of `links`

ACK_MS: Final = 1_000  # how often a gateway acknowledges what it applied
ACKS_LATE_MS: Final = 2_000  # lots that are younger may well be unacknowledged: their bytes count for nothing below
BACKLOG_RUNS: Final = 64  # runs of lots that a source remembers of a link's backlog; more become wider ones
LINK_SLOW_BYTES: Final = 1 << 20  # a link with more lots of a source unacknowledged gets notices in place of messages
LINK_SLOW_MS: Final = 3_000  # or with an older one
LINK_BACKLOG_BYTES: Final = 16 << 20  # with more it is told to begin anew: nothing but answers is written until then

# A batch: whichever is reached first ends it.
BATCH_RECORDS: Final = 2_000  # records in a batch
BATCH_BYTES: Final = 4 << 20  # and their bytes
SINK_BATCH_BYTES: Final = 8 << 20  # bytes of a batch of the sinks: the more of a channel at once, the cheaper each row
BATCH_OUTPUT_BYTES: Final = 16 << 20  # about what a batch may write: it takes so few records as fit
BATCH_WORK_MS: Final = 100  # CPU time that applying it should take: after a longer one the next takes fewer bytes
LATE_BATCH_WORK_MS: Final = 400  # a partition that is behind: a quarter of what it is, up to this
LEAST_BATCH_BYTES: Final = 64 * 1024  # but so many, or one record
LARGE_RECORD_BYTES: Final = 64 * 1024  # a record of one key is much work: a batch takes one, others' pass
BATCH_GAP_MS: Final = 20  # batches of a partition begin no closer: a transaction costs as much for 1 record as for 100
PATIENT_GAP_MS: Final = 500  # and of nothing but acknowledgements, no closer than this: else they wait for others

# What a partition may have waiting in memory before its fetch is paused.
QUEUE_RECORDS: Final = 8_000  # records waiting
QUEUE_BYTES: Final = 16 << 20  # and their bytes

# Overload: what a partition that falls behind sheds.
SHED_SIGNALS_LATE_MS: Final = 250  # signals that would come later than this are dropped
SHED_SENDS_LATE_MS: Final = 500  # sends, but for direct groups, are refused as `overloaded` while later than this
SHED_BACKLOG: Final = 1_000  # while fewer records wait than this, a batch or two takes all: late, but not too much
SHED_AFTER_MS: Final = 1_000  # and only once the backlog has not shrunk for this long

# Rejects: more than this share of bad records among the last ones stops the worker.
REJECT_SHARE: Final = 0.5  # the share
REJECT_SAMPLE: Final = 1_000  # the last records that it is a share of

# A lot is cut before it grows past this (the broker's limit is RECORD_BYTES and more).
LOT_BYTES: Final = 512 * 1024  # bytes of a lot
ENTRY_PAIRS: Final = 8_192  # bindings that one entry of a lot names; more take more entries

# State rows.
PAGE_ORDINALS: Final = 256  # members a page row holds
PAGE_DELTAS: Final = 24  # changed members a page keeps as rows of their own before it is written anew
SET_CHUNK: Final = 8_192  # ordinals that a row of a role's members or a list's users covers
ROLL_ENTRIES: Final = 256  # memberships a row of the users role holds
TAIL_SENDS: Final = 16  # sends known for resends in a channel's row before they are sealed into one of their own
MAP_LOG_PAIRS: Final = 16_384  # latest changes of its groups' Link maps that a partition keeps in memory
HELD_BATCHES: Final = 512  # batches after which a large group that was not touched leaves memory like any other
HELD_BUDGETS: Final = 4  # times the budget of groups in memory that large ones touched of late may take
CHORE_ROWS: Final = 256  # rows that one step of a long clean-up works off; messages go on between steps
CHORE_PAGES: Final = 16  # pages of members it works off

# Stores of history.
HISTORY_BUCKET: Final = 4_096  # seqs in one partition of Cassandra; fixed at the birth of a cluster
STORE_BATCH_ROWS: Final = 128  # rows of one partition written together
STORE_BATCH_BYTES: Final = 128 * 1024  # and their bytes
STORE_PACK_PARTITIONS: Final = 10  # small writes of so many partitions go together; Cassandra warns above
STORE_PACK_BYTES: Final = 4 * 1024  # what a small write is, and all that go together; Cassandra warns above 5 KiB
STORE_IN_FLIGHT: Final = 64  # writes that a worker has under way at Cassandra
CACHE_ENTRIES: Final = 500  # newest messages of a channel in Redis, or a few more
CACHE_IDLE_S: Final = 86_400  # a channel without a message for this long leaves Redis
CACHE_WRITE_BYTES: Final = 1 << 20  # sent to Redis in one go

# Views.
PULL_MESSAGES: Final = 200  # messages in one answer
PAGE_ENTRIES: Final = 500  # members, channels, groups, links in one answer
CHANGES_BYTES: Final = 4 << 20  # bytes of changes in one answer, but for the last of them
CHANGES_BEHIND: Final = 10_000  # a reader that missed more changes of a group takes a snapshot
EVENT_LOG_BYTES: Final = 4 << 20  # latest relation events that a partition keeps in memory
WEIGHT_PROFILES: Final = 10_000  # profiles of a group up to which its members are sorted by weight
WATERMARK_MS: Final = 20  # who asks what changed since a time is told from so much before it: times are not exact
MAP_CHANGES: Final = 4_096  # changes of a Link map in one answer; a reader that missed more gets the whole map
VIEW_PAGES: Final = 256  # pages of ordinals that one answer is gathered from
CURSOR_CHARS: Final = 160  # a cursor
TOKEN_BYTES: Final = 32  # the least that a key's secret has
TOKEN_S: Final = 31 * 86_400  # the longest that a token may last; one that claims more is refused
TOKEN_LEEWAY_S: Final = 5  # how far the clocks of who makes a token and of a worker may be apart
VIEW_REQUEST_BYTES: Final = 16 * 1024  # a request's body
VIEW_S: Final = 10.0  # a request that takes longer is given up
TAIL_RECORDS: Final = 2_000  # records of `history` that a view reads for what is not stored yet
TAIL_BYTES: Final = 8 << 20  # and their bytes
TAIL_WAITING: Final = 32  # requests that wait for such a read; more are sent away

# Watching.
STUCK_MS: Final = 60_000  # a partition that has records and committed nothing for this long calls itself stuck
LOG_LINES: Final = 20  # lines of one kind that a worker logs in LOG_WINDOW_MS; the rest is counted in the next one
LOG_WINDOW_MS: Final = 10_000  # how long LOG_LINES last
