// What a client keeps of one channel: messages by seq, what is missing between them, and its own messages on their way.
// No network, no page: what happened goes in, what to pull comes out.

const RESEND_MS = 3_000;
// The pipeline knows a resend for 60 s after the first try; later ones are refused as `expired`.
const GIVE_UP_MS = 55_000;
export const PAGE = 50;
// Whoever was away for longer than this many messages begins anew at the newest ones instead of pulling them all.
const SKIP_AHEAD = 500;

export class Channel {
  constructor() {
    this.messages = new Map(); // seq -> message
    this.pending = []; // own messages without a place yet, in the order of sending
    this.first = null; // the lowest seq shown; null before the first pull or push
    this.last = 0; // everything from `first` to here is known
    this.head = 0; // the highest seq heard of
    this.opened = false; // whether `first` is settled
    this.began = 0; // the head when it was opened: what is pulled up to there fills no gap
  }

  // The session is live: from here on everything is pushed, so what was before is pulled now.
  live(head) {
    this.head = Math.max(this.head, head);
    if (!this.opened || this.head - this.last > SKIP_AHEAD) {
      this.messages.clear();
      this.opened = true;
      this.began = this.head;
      this.first = Math.max(1, this.head - PAGE + 1);
      this.last = this.first - 1;
      this.#advance();
    }
  }

  heard(head) {
    this.head = Math.max(this.head, head);
  }

  // One message, pushed or pulled; twice is harmless.
  add(message, pulled = false) {
    if (!this.messages.has(message.seq)) {
      this.messages.set(message.seq, { ...message, pulled: pulled && message.seq > this.began });
    }
    if (this.opened && message.seq < this.first) this.first = message.seq;
    this.heard(message.seq);
    this.#advance();
  }

  #advance() {
    while (this.messages.has(this.last + 1)) this.last += 1;
  }

  // The holes, oldest first: [{after, to}], without `after` itself, with `to`.
  gaps() {
    if (!this.opened) return [];
    const found = [];
    let after = this.last;
    for (const seq of [...this.messages.keys()].filter((seq) => seq > this.last).sort((a, b) => a - b)) {
      if (seq > after + 1) found.push({ after, to: seq - 1 });
      after = seq;
    }
    if (this.head > after) found.push({ after, to: this.head });
    return found;
  }

  // What to show, in order: messages and gaps.
  rows() {
    const seqs = [...this.messages.keys()].sort((a, b) => a - b);
    const rows = seqs.map((seq) => ({ seq, message: this.messages.get(seq) }));
    for (const gap of this.gaps()) rows.push({ seq: gap.after + 0.5, gap });
    return rows.sort((a, b) => a.seq - b.seq);
  }

  sent(client_id, body, now) {
    this.pending.push({ client_id, body, tried_at: now, again_at: now + RESEND_MS, seq: null, failed: null });
  }

  accepted(client_id, seq) {
    const own = this.pending.find((message) => message.client_id === client_id);
    if (own) own.seq = seq;
    this.heard(seq);
  }

  refused(client_id, code) {
    const own = this.pending.find((message) => message.client_id === client_id);
    // A throttled one may be sent again as it is; the others never will be accepted.
    if (own && code !== "throttled") own.failed = code;
  }

  // An own message found its place among the others.
  settle(client_id) {
    this.pending = this.pending.filter((message) => message.client_id !== client_id);
  }

  // Own messages that nobody answered for a while: each is to be sent again just as it was.
  unanswered(now) {
    const due = [];
    for (const message of this.pending) {
      if (message.seq !== null || message.failed !== null) continue;
      if (now - message.tried_at > GIVE_UP_MS) message.failed = "unanswered";
      else if (now >= message.again_at) {
        message.again_at = now + RESEND_MS;
        due.push(message);
      }
    }
    return due;
  }
}
