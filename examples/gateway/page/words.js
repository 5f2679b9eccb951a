// Names and codes in words.

export const ID = /^[A-Za-z0-9_.@-]{1,64}$/;

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
  direct_needs_two: "A direct chat is for two: you and somebody else.",
};

export const inWords = (code, limit) => {
  const words = CODES[code] ?? `Refused: ${code}`;
  return limit ? `${words} (At most ${count(limit)} bytes.)` : words;
};

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

// A body is any JSON; ours is a string, that of others often an object with a text.
export const textOf = (body) => {
  const text = typeof body === "object" ? body?.text : body;
  return typeof text === "string" ? text : JSON.stringify(body);
};

export const fresh = () =>
  crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
