// All that the page knows: groups, who is online, what is on its way. No elements here: frames of the gateway and what
// the person does go in; `changed` is called when there is something new to show.

import { Channel, PAGE, PULL_MOST } from "./channel.js";
import { Hearing } from "./hearing.js";
import { Inbox } from "./inbox.js";
import { Servers } from "./servers.js";
import { MAIN, fresh, keyOf, mentionsIn, otherOf, textOf } from "./words.js";

const PULL_AGAIN_MS = 700;
// A gap made on purpose stays open this long, so that one can see it.
const SHOW_GAP_MS = 1_500;
const TYPING_MS = 3_000;

// A conversation: a group, or a channel of a server.
class Group {
  constructor(name, me) {
    this.name = name;
    const [group, channel] = name.split("/");
    this.id = group; // the group
    this.channelId = channel ?? MAIN;
    this.ofServer = channel !== undefined;
    this.info = null; // what is told of a server's channel
    this.other = this.ofServer ? null : otherOf(name, me); // of a direct chat
    this.state = "asked"; // "asked" | "live" | "waiting" | "gone"
    this.channel = new Channel();
    this.unread = 0;
    this.mentioned = false; // somebody named this person since it was read
    this.probing = false; // how far it is by now is to be asked
    this.newest = null; // the newest message heard of, to show beside the name
    this.people = null; // who is online, once told
    this.typing = new Map(); // user -> until when
    this.pulling = false;
    this.pullingEarlier = false;
    this.notBefore = 0; // no pull before this moment
    this.timer = 0;
  }

  get title() {
    return this.other ?? (this.ofServer ? `# ${this.info?.name || this.channelId}` : this.name);
  }
}

export class Chat {
  // tell: sends a frame; changed: something is to be shown; opened: a group was; note: something is to be said once;
  // marks: up to where the person has read.
  constructor({ name, device, tell, changed, opened, note, marks, meters }) {
    Object.assign(this, { name, device, tell, changed, opened, note, marks, meters });
    this.groups = new Map(); // conversations, by their keys
    this.servers = new Servers(this);
    this.inbox = new Inbox(this);
    this.hearing = new Hearing(this);
    this.away = false; // in the background: notices come in place of messages
    this.notices = 0; // how many came
    this.resumes = 0; // how often this session went on in a new connection
    this.open = null; // the key of the conversation shown
    this.link = null; // what the gateway told of itself
    this.pulse = null; // its counters
    this.clockAhead = 0; // this device's clock minus the gateway's
    this.drop = 0; // how many messages to lose on purpose
    this.asked = new Map(); // request -> {what, group, done}
    this.sentAt = new Map(); // client_id -> when it was sent
  }

  get group() {
    return this.groups.get(this.open);
  }

  get unread() {
    let sum = 0;
    for (const group of this.groups.values()) sum += group.unread;
    return sum;
  }

  // What this session is named, so that it can go on in another connection.
  get was() {
    return this.link ? { link: this.link.link, epoch: this.link.epoch, slot: this.link.slot } : undefined;
  }

  get gapsFilled() {
    let sum = 0;
    for (const group of this.groups.values()) sum += group.channel.filled;
    return sum;
  }

  now() {
    return Date.now() - this.clockAhead;
  }

  groupOf(name) {
    if (!this.groups.has(name)) this.groups.set(name, new Group(name, this.name));
    return this.groups.get(name);
  }

  // --- what the gateway tells

  take(frame) {
    const taken = TAKE[frame.t];
    if (taken === undefined) return;
    taken.call(this, frame, frame.group === undefined ? null : this.groups.get(keyOf(frame.group, frame.channel)));
    if (SHOWN_ANEW.has(frame.t)) this.hearing.update();
    this.changed();
  }

  lost() {
    this.people(null);
    this.servers.lost();
    for (const group of this.groups.values()) {
      if (group.state === "live") group.state = "waiting";
      clearTimeout(group.timer);
      group.pulling = group.pullingEarlier = false;
    }
    this.changed();
  }

  // Who is online is not known any more, or not yet.
  people(group) {
    for (const each of group ? [group] : this.groups.values()) each.people = null;
  }

  place(group, message) {
    const { channel } = group;
    const own = message.sender === this.name;
    const isNew = message.seq > channel.head;
    channel.add(message);
    if (isNew) {
      group.newest = message;
      group.typing.delete(message.sender);
      if (!own) this.#count(group);
    }
    this.settle(channel, message);
  }

  #count(group) {
    if (this.looksAt(group)) this.#read(group);
    else group.unread += 1;
  }

  // Whether the person sees what comes into it.
  looksAt(group) {
    return group.name === this.open && !this.away && !document.hidden;
  }

  settle(channel, message) {
    if (message.sender !== this.name || message.device !== this.device) return;
    const sent = this.sentAt.get(message.client_id);
    if (sent !== undefined) this.meters.latency.add(performance.now() - sent);
    this.sentAt.delete(message.client_id);
    channel.settle(message.client_id);
  }

  // Fill the first gap; the answer to it fills the next one.
  pull(group) {
    if (group.pulling || group.state !== "live") return;
    const [gap] = group.channel.gaps();
    if (!gap) return;
    const wait = group.notBefore - performance.now();
    if (wait > 0) this.#pullAfter(group, wait);
    else {
      group.pulling = true;
      this.tell({ t: "pull", group: group.id, channel: group.channelId, after: gap.after, limit: Math.min(PULL_MOST, gap.to - gap.after) });
    }
  }

  // Ask for whatever came after the newest message here: the answer says how far the conversation is.
  probe(group) {
    if (!group || group.state !== "live" || !group.channel.opened) return;
    group.probing = group.pulling;
    if (group.pulling) return;
    group.pulling = true;
    this.tell({ t: "pull", group: group.id, channel: group.channelId, after: group.channel.last, limit: PAGE });
  }

  pullAgain(group) {
    this.#pullAfter(group, PULL_AGAIN_MS);
  }

  #pullAfter(group, wait) {
    clearTimeout(group.timer);
    group.timer = setTimeout(() => this.pull(group), wait);
  }

  pullEarlier() {
    const { group } = this;
    if (!group?.channel.hasEarlier || group.pullingEarlier || group.state !== "live") return;
    group.pullingEarlier = true;
    this.tell({ t: "pull", group: group.id, channel: group.channelId, before: group.channel.base + 1, limit: PAGE });
  }

  // --- what the person does

  choose(name) {
    if (this.servers.choose(name)) return;
    this.open = name;
    const group = this.groupOf(name);
    group.channel.open();
    this.#read(group);
    this.pull(group);
    this.tell({ t: "watch", group: group.id });
    this.servers.look(group);
    this.hearing.update();
    this.opened(name);
    this.changed();
  }

  // The person turns away from the page, or looks at it again. What was missed is pulled once the gateway says that
  // messages come again.
  turn(away) {
    if (away === this.away) return;
    this.away = away;
    this.tell({ t: "ground", background: away });
    if (!away && this.group) this.#read(this.group);
    this.changed();
  }

  #read(group) {
    group.unread = 0;
    group.mentioned = false;
    this.marks.set(group.name, group.channel.head);
  }

  ask(what, group, more = {}, done = null) {
    const request = fresh();
    this.asked.set(request, { what, group, done });
    if (!this.tell({ t: what, group, request, ...more })) this.note("Not connected just now. Try again in a moment.");
  }

  // A command of the contract, by this person; `done` is called once it is applied.
  command(what, group, fields, done = null) {
    this.ask("command", group, { what, fields }, done);
  }

  create(name, users) {
    this.#expect(name);
    this.ask("create", name, { users });
  }

  join(name) {
    this.#expect(name);
    this.ask("join", name);
  }

  direct(user) {
    this.ask("direct", undefined, { user });
  }

  // It is shown at once, as not live yet.
  #expect(name) {
    const group = this.groupOf(name);
    if (group.state === "gone") group.state = "asked";
    this.changed();
  }

  send(body) {
    const { group } = this;
    const own = group.channel.sent(fresh(), body, this.now());
    const bytes = new TextEncoder().encode(JSON.stringify(body)).length;
    const most = this.link?.body_bytes ?? Infinity;
    if (bytes > most) group.channel.refused(own.client_id, "message_too_large", most);
    else if (group.state === "live") this.#tellSend(group, own);
    this.changed();
  }

  #tellSend(group, { client_id, tried_at, body }) {
    if (!this.sentAt.has(client_id)) this.sentAt.set(client_id, performance.now());
    const mentions = mentionsIn(textOf(body));
    this.tell({ t: "send", group: group.id, channel: group.channelId, client_id, tried_at, body, mentions });
  }

  // A refused one, as a new message or not at all.
  giveUp(group, client_id) {
    group.channel.settle(client_id);
    this.sentAt.delete(client_id);
    this.changed();
  }

  sendAgain(group, own) {
    group.channel.settle(own.client_id);
    const again = group.channel.sent(fresh(), own.body, this.now());
    if (group.state === "live") this.#tellSend(group, again);
    this.changed();
  }

  resend() {
    for (const group of this.groups.values()) {
      if (group.state !== "live") continue;
      for (const own of group.channel.unanswered(this.now())) this.#tellSend(group, own);
    }
  }

  // Own ones that nobody answered go out again at once, now that we can hear.
  resendAll(group) {
    for (const own of group.channel.pending.values()) own.again_at = 0;
    this.resend();
  }

  typed() {
    this.tell({ t: "typing", group: this.group.id, channel: this.group.channelId });
  }

  // Everything of a conversation is pushed from here on: what was before is pulled.
  live(group, head) {
    group.state = "live";
    const mark = this.marks.get(group.name);
    group.channel.heard(head);
    if (group.name === this.open) {
      group.channel.open();
      if (!this.away) this.marks.set(group.name, group.channel.head);
    } else {
      if (group.channel.opened) group.channel.open();
      group.unread = Math.max(0, group.channel.head - mark);
    }
    this.resendAll(group);
    this.pull(group);
  }

  typers(group) {
    const now = performance.now();
    return [...group.typing].filter(([, until]) => until > now).map(([user]) => user);
  }
}

// Frames after which something else is shown, or by another session.
const SHOWN_ANEW = new Set(["hello", "live", "drive", "gone", "resumed", "server", "channel", "people", "subscribed"]);

// By kind of frame; `this` is the chat, `group` the one that is named, if it is known.
const TAKE = {
  hello(frame) {
    if (!frame.goes_on) this.hearing.reset();
    this.clockAhead = Date.now() - frame.now;
    this.link = frame;
    this.pulse = null;
    if (this.group) this.tell({ t: "watch", group: this.group.id });
    this.inbox.pull();
  },
  // The session goes on: not known any more, it began anew, and asks again for what it wants to hear.
  resumed({ known }) {
    if (known) this.resumes += 1;
    else this.hearing.reset();
  },
  drive(frame) {
    this.hearing.joined.set(frame.group, frame.joined);
  },
  // There are new messages that were not pushed to this page: whoever shows the channel pulls.
  unread(frame, group) {
    this.notices += 1;
    if (!group) return;
    const { head } = group.channel;
    group.channel.heard(frame.seq);
    if (this.looksAt(group)) this.pull(group);
    else group.unread += Math.max(0, Math.min(frame.count, frame.seq - head)); // some of them it may have heard
  },
  subscribed(frame) {
    for (const [channel, head] of Object.entries(frame.heads)) {
      const group = this.groups.get(keyOf(frame.group, channel));
      if (!group) continue;
      group.channel.heard(head);
      this.pull(group);
    }
  },
  ground({ background }) {
    if (!background && !this.away) this.probe(this.group);
  },
  mention({ message }) {
    if (message.sender === this.name) return;
    const group = this.groups.get(keyOf(message.group, message.channel));
    if (group && this.looksAt(group)) return;
    if (group) group.mentioned = true;
    this.note(`${message.sender} mentioned you in ${group?.title ?? message.group}: ${textOf(message.body)}`);
  },
  presence(frame) {
    this.hearing.take(frame);
  },
  live(frame) {
    if (this.servers.live(frame)) return;
    this.live(this.groupOf(frame.group), frame.heads[MAIN] ?? 0);
  },
  waiting(frame, group) {
    if (group) group.state = "waiting";
    this.servers.waiting(frame.group);
  },
  gone(frame, group) {
    this.servers.gone(frame.group);
    if (!group) return;
    group.state = "gone";
    this.people(group);
  },
  message(frame) {
    const group = this.groupOf(keyOf(frame.group, frame.channel));
    this.meters.received.add(1, performance.now());
    if (this.drop > 0) {
      this.drop -= 1;
      group.notBefore = performance.now() + SHOW_GAP_MS;
      return;
    }
    this.place(group, frame);
    this.pull(group);
  },
  head(frame, group) {
    if (!group) return;
    group.channel.heard(frame.seq);
    this.pull(group);
  },
  pulled(frame, group) {
    if (!group) return;
    if (frame.before === null) group.pulling = false;
    else group.pullingEarlier = false;
    if (frame.error === "not_live") return; // `live` comes, and pulls
    if (frame.error) {
      if (frame.before === null) this.pullAgain(group);
      return;
    }
    const { channel } = group;
    channel.heard(frame.head);
    if (frame.before !== null) {
      if (frame.before === channel.base + 1) channel.prepend(frame.messages, frame.more);
      return;
    }
    channel.fill(frame.after, frame.messages);
    for (const message of frame.messages) this.settle(channel, message);
    const last = frame.messages.at(-1);
    if (last && last.seq >= (group.newest?.seq ?? 0)) group.newest = last;
    const [gap] = channel.gaps();
    if (gap?.after === frame.after) this.pullAgain(group); // it brought nothing
    else if (group.probing) this.probe(group);
    else this.pull(group);
  },
  accepted(frame, group) {
    group?.channel.accepted(frame.client_id, frame.seq);
  },
  refused(frame, group) {
    const asked = this.asked.get(frame.request);
    this.asked.delete(frame.request);
    if (frame.client_id) {
      group?.channel.refused(frame.client_id, frame.code, frame.limit);
      return;
    }
    if (asked?.what === "direct" && frame.code === "group_exists") {
      this.choose(frame.group);
      return;
    }
    if (group?.state === "asked" && asked?.what !== "command") this.groups.delete(frame.group);
    this.note(frame);
  },
  applied(frame) {
    const asked = this.asked.get(frame.request);
    this.asked.delete(frame.request);
    if (["create", "join", "direct"].includes(asked?.what)) this.choose(frame.group);
    asked?.done?.(frame);
    if (asked?.what === "command") this.servers.refresh(frame.group);
    if (asked?.what === "invite") this.note(frame.changed > 0 ? "Invited." : "They are members already.");
  },
  people(frame, group) {
    if (group) group.people = frame;
    this.servers.people(frame);
  },
  changed(frame) {
    this.servers.heard(frame.group);
  },
  server(frame) {
    this.servers.take(frame);
  },
  channel(frame, group) {
    if (group) this.servers.takeChannel(frame, group);
  },
  notice(frame) {
    this.inbox.add(frame.notice);
  },
  inbox(frame) {
    this.inbox.take(frame);
  },
  signal(frame, group) {
    if (group && frame.kind === "typing" && frame.sender !== this.name) group.typing.set(frame.sender, performance.now() + TYPING_MS);
  },
  pulse(frame) {
    if (this.pulse) this.meters.written.add(Math.max(0, frame.written - this.pulse.written), performance.now());
    this.pulse = frame;
  },
  error(frame) {
    this.note(frame.text);
  },
};
