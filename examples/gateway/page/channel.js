// What a page keeps of one channel: messages by seq, what is missing between them, and its own on their way.
// No network, no page: what happened goes in, what to pull comes out. Adding the newest costs the same at any length.

export const PAGE = 50;
export const PULL_MOST = 200;
const RESEND_MS = 3_000;
// The pipeline knows a resend for 60 s after the first try; later ones are refused as `expired`.
const GIVE_UP_MS = 55_000;
// Whoever was away for longer than this many messages begins anew at the newest ones instead of pulling them all.
const SKIP_AHEAD = 500;

export class Channel {
  constructor() {
    this.items = []; // messages, by seq
    this.pending = new Map(); // client_id -> an own message without a place yet, in the order of sending
    this.opened = false; // whether anything is pulled: not before somebody looks
    this.base = 0; // the seq that the first item is to follow on
    this.head = 0; // the highest seq heard of
    this.began = 0; // the head when it was opened: what is pulled up to there fills no gap
    this.filled = 0; // how many messages came by filling a gap
    this.solid = -1; // items up to this index follow on one another, and on `base`
  }

  get last() {
    return this.items.at(-1)?.seq ?? this.base;
  }

  // Whether there are older ones to pull.
  get hasEarlier() {
    return this.opened && this.base > 0;
  }

  // Somebody looks at it, or it is live again: from here on everything is pushed, so what was before is pulled now.
  open() {
    const known = this.solid >= 0 ? this.items[this.solid].seq : this.base;
    if (this.items.length > 0 && this.head - known <= SKIP_AHEAD) return;
    this.opened = true;
    this.items = [];
    this.solid = -1;
    this.began = this.head;
    this.base = Math.max(0, this.head - PAGE);
  }

  heard(seq) {
    if (seq > this.head) this.head = seq;
  }

  // One message, pushed or pulled. Tells whether it is new; twice is harmless.
  add(message, filling = false) {
    this.heard(message.seq);
    if (!this.opened || message.seq <= this.base) return false;
    const at = this.#place(message.seq);
    if (this.items[at]?.seq === message.seq) return false;
    const filled = filling && message.seq > this.began;
    this.items.splice(at, 0, { ...message, filled });
    if (filled) this.filled += 1;
    this.#advance();
    return true;
  }

  // The answer to a pull of what follows on `after`: a page has no hole, so its first one follows on `after`.
  fill(after, messages) {
    messages.forEach((message, i) => this.add(i === 0 && message.prev > after ? { ...message, prev: after } : message, true));
  }

  // Older ones, asked for by `before`.
  prepend(messages, more) {
    this.items.unshift(...messages);
    this.solid += messages.length;
    this.base = more && messages.length > 0 ? messages[0].prev : 0;
  }

  // Forgets the oldest: they can be pulled again.
  forget(count) {
    const dropped = this.items.splice(0, Math.min(count, this.solid + 1));
    if (dropped.length === 0) return;
    this.base = dropped.at(-1).seq;
    this.solid -= dropped.length;
  }

  // The holes, oldest first: [{after, to}], without `after` itself, with `to`.
  gaps() {
    if (!this.opened) return [];
    const found = [];
    for (let i = this.solid + 1; i < this.items.length; i += 1) {
      const gap = this.gapBefore(i);
      if (gap) found.push(gap);
    }
    if (this.head > this.last) found.push({ after: this.last, to: this.head });
    return found;
  }

  // The hole between an item and the one before it.
  gapBefore(index) {
    const after = this.items[index - 1]?.seq ?? this.base;
    return this.items[index].prev > after ? { after, to: this.items[index].prev } : null;
  }

  #place(seq) {
    let [low, high] = [0, this.items.length];
    if (seq > this.last) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.items[middle].seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #advance() {
    while (this.solid + 1 < this.items.length && !this.gapBefore(this.solid + 1)) this.solid += 1;
  }

  // --- own messages on their way

  sent(client_id, body, now) {
    const own = { client_id, body, tried_at: now, again_at: now + RESEND_MS, seq: null, failed: null };
    this.pending.set(client_id, own);
    return own;
  }

  accepted(client_id, seq) {
    const own = this.pending.get(client_id);
    if (own) own.seq = seq;
  }

  refused(client_id, code, limit) {
    const own = this.pending.get(client_id);
    // What is refused for now only may be sent again as it is; the others never will be accepted.
    if (own && code !== "throttled" && code !== "overloaded") Object.assign(own, { failed: code, limit });
  }

  // An own message found its place among the others, or is given up.
  settle(client_id) {
    this.pending.delete(client_id);
  }

  // Own messages that nobody answered for a while: each is to be sent again just as it was.
  unanswered(now) {
    const due = [];
    for (const own of this.pending.values()) {
      if (own.seq !== null || own.failed !== null) continue;
      if (now - own.tried_at > GIVE_UP_MS) own.failed = "unanswered";
      else if (now >= own.again_at) {
        own.again_at = now + RESEND_MS;
        due.push(own);
      }
    }
    return due;
  }
}
