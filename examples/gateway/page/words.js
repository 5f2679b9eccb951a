// Names and codes in words.

export const ID = /^[A-Za-z0-9_.@-]{1,64}$/;

// The channel of a group that has but one.
export const MAIN = "main";

// What names a conversation here: a group, or, of a server, `group/channel`. Ids have no slash.
export const keyOf = (group, channel = MAIN) => (channel === MAIN ? group : `${group}/${channel}`);

// What a code means, and what to do.
const CODES = {
  unknown_group: "There is no such group. Create it first.",
  group_exists: "This group is there already: join it.",
  not_a_member: "You are not a member of this group any more. Join it again, then send it once more.",
  message_too_large: "This message is too long. Make it shorter.",
  expired: "It is too late to try again. Send it as a new message.",
  unanswered: "Nobody answered in time. Send it as a new message.",
  overloaded: "Very busy just now. It is sent again in a moment.",
  throttled: "Too many messages in a minute. They are sent again, one after the other.",
  clock_ahead: "This device's clock is wrong. Set it, then send again.",
  direct_is_fixed: "The two people of a direct chat stay as they are.",
  unknown_channel: "There is no such channel.",
  not_visible: "You do not see this channel.",
  not_permitted: "You may not do that here.",
  muted: "You are muted here for now.",
  banned: "You are banned from this server.",
  wrong_kind: "That is for servers only.",
  exists_already: "One with this name is there already.",
  limit_reached: "There are as many of these as there may be.",
  unknown_member: "This user is no member of the server.",
  unknown_role: "There is no such role.",
  unknown_request: "This invite is no longer open.",
  unknown_code: "This code is no longer good.",
  version_changed: "Somebody changed it meanwhile. Look again, then decide.",
  owner_stays: "The owner stays.",
  everyone_stays: "The role everyone is every member's.",
  wrong_level: "That cannot be subscribed to here.",
  unknown_session: "This tab is not known any more. Load the page again.",
  direct_needs_two: "A direct chat is for two: you and somebody else.",
};

export const inWords = (code, limit) => {
  const words = CODES[code] ?? `Refused: ${code}`;
  return code === "message_too_large" && limit ? `${words} (At most ${count(limit)} bytes.)` : words;
};

// What a person is told: {by} did it, {subject} is what it is about, {group} is where.
const NOTICES = {
  invited: "{by} invites you to {group}",
  invite_ended: "{about} answered your invite to {group}: {end}",
  applied: "{by} asks to come into {group}",
  application_ended: "Your application to {group}: {end}",
  joined: "{about} joined {group}",
  removed: "{about} left {group}",
  banned: "{about} was banned from {group}",
  unbanned: "{about} may come back to {group}",
  muted: "{by} muted {about} in {group}",
  profile_changed: "{by} changed a profile in {group}",
  group_created: "{group} was made",
  group_changed: "{by} changed {group}",
  group_deleted: "{by} deleted {group}",
  owner_changed: "{group} has another owner",
  channel_created: "{by} made the channel {subject} in {group}",
  channel_changed: "{by} changed the channel {subject} in {group}",
  channel_deleted: "{by} deleted the channel {subject} in {group}",
  category_changed: "{by} changed the category {subject} in {group}",
  list_changed: "{by} changed a list of {subject} in {group}",
  role_changed: "{by} changed the role {subject} in {group}",
  roles_given: "{by} gave you the role {subject} in {group}",
  roles_taken: "{by} took the role {subject} from you in {group}",
};

// The same where it happened to this person.
const OWN_NOTICES = {
  invite_ended: "Your invite to {group} ended: {end}",
  applied: "You asked to come into {group}",
  joined: "You are in {group} now",
  removed: "You are not in {group} any more",
  banned: "You are banned from {group}",
  unbanned: "You may come back to {group}",
  muted: "{by} muted you in {group}",
  profile_changed: "{by} changed your profile in {group}",
};

export function noticeInWords(notice) {
  const words = { by: notice.by ?? "Somebody", about: notice.about, subject: notice.subject ?? "", end: notice.end ?? "" };
  const own = notice.about ? undefined : OWN_NOTICES[notice.kind];
  const text = (own ?? NOTICES[notice.kind] ?? "Something happened in {group}").replace(/\{(\w+)\}/g, (_, name) => words[name] ?? notice.group);
  return notice.count > 1 ? `${text} (and ${count(notice.count - 1)} more)` : text;
}

export const STATES = { asked: "joining", live: "live", waiting: "catching up", gone: "left" };

const numbers = new Intl.NumberFormat();
export const count = (number) => numbers.format(number);
export const several = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

const times = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const days = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
export const timeOf = (at) => times.format(at);
export const dayOf = (at) => days.format(at);
export const sameDay = (one, other) => new Date(one).toDateString() === new Date(other).toDateString();

// The other one of a direct chat, whose group is named `dm.<length of the first name>.<first>.<second>`; else null.
export function otherOf(group, me) {
  const [, length, both] = /^dm\.(\d+)\.(.+)$/.exec(group) ?? [];
  if (both === undefined) return null;
  const [one, other] = [both.slice(0, Number(length)), both.slice(Number(length) + 1)];
  return one === me ? other : other === me ? one : null;
}

// Names in a line of text, without doubles.
export const namesIn = (text) => [...new Set(text.split(/[\s,;]+/).filter(Boolean))];

// Whom a text mentions: `@name`; what ends a sentence is no part of a name.
const MENTIONS = 50;
export const mentionsIn = (text) => {
  const found = Array.from(text.matchAll(/(?:^|\s)@([A-Za-z0-9_.@-]{1,64})/g), ([, name]) => name.replace(/[.-]+$/, ""));
  return [...new Set(found.filter(Boolean))].slice(0, MENTIONS);
};

// A body is any JSON; ours is a string, that of others often an object with a text.
export const textOf = (body) => {
  const text = typeof body === "object" ? body?.text : body;
  return typeof text === "string" ? text : JSON.stringify(body);
};

export const fresh = () =>
  crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
