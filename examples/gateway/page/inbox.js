// Notices to this person: those of the inbox, pulled by number, and those that came since. No elements here.

import { noticeInWords } from "./words.js";

const KEPT = 50;

export class Inbox {
  constructor(chat) {
    this.chat = chat;
    this.notices = []; // the newest first
    this.last = 0; // the newest number known
    this.answered = new Set(); // invites that this person answered here
  }

  // Of what others did.
  get unread() {
    const read = this.#read();
    return this.notices.filter((notice) => notice.number > read && notice.by !== this.chat.name).length;
  }

  // What was missed; the gateway answers `inbox`.
  pull() {
    this.chat.tell({ t: "inbox", after: this.last });
  }

  take({ notices, error }) {
    if (!error) for (const notice of notices) this.#keep(notice);
  }

  add(notice) {
    this.#keep(notice);
    if (notice.by !== this.chat.name) this.chat.note(noticeInWords(notice));
  }

  // Of one group and kind, those close together are one, which comes again under a higher number.
  #keep(notice) {
    if (this.notices.some((other) => other.number === notice.number)) return;
    if (notice.count > 1) {
      const before = this.notices.findIndex((other) => other.group === notice.group && other.kind === notice.kind);
      if (before >= 0) this.notices.splice(before, 1); // this one stands for it as well
    }
    this.last = Math.max(this.last, notice.number);
    this.notices.unshift(notice);
    this.notices.sort((a, b) => b.number - a.number);
    this.notices.length = Math.min(this.notices.length, KEPT);
  }

  seen() {
    localStorage.setItem(this.#key(), String(this.last));
    this.chat.changed();
  }

  answer(notice, accept) {
    this.answered.add(notice.subject);
    this.chat.command("answer_invite", notice.group, { invite: notice.subject, accept });
    this.chat.changed();
  }

  #read() {
    return Number(localStorage.getItem(this.#key()) ?? 0);
  }

  #key() {
    return `notices ${this.chat.name}`;
  }
}
