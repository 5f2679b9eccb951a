// The messages of the open group. However long its history: at most ROWS of them are on the page, a window that moves
// with the scroll; older ones are pulled a page at a time. Drawn at most once a frame, however many come.

import { $, avatar, make, say, show } from "./dom.js";
import { count, dayOf, inWords, sameDay, several, textOf, timeOf } from "./words.js";

const ROWS = 160;
const STEP = 60;
const NEAR = 500; // pixels from an end at which the window moves on
const KEPT = 4_000; // messages kept in memory, when the newest are looked at
const TOGETHER_MS = 5 * 60_000; // of one sender, within this time: one head for all

export class MessageView {
  constructor(chat) {
    this.chat = chat;
    this.scroll = $("scroll");
    this.group = null;
    this.following = true; // the newest is shown, and whatever comes
    this.from = 0; // the seq of the first item shown, when not following
    this.to = 0; // and of the last one
    this.complete = true; // whether what was drawn reaches to the newest
    this.seenSeq = 0; // the newest seq that was shown at the end
    this.scroll.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    $("newest").onclick = () => this.follow();
    new ResizeObserver(() => this.following && this.#toEnd()).observe(this.scroll);
  }

  follow() {
    this.following = true;
    this.chat.changed();
    this.scroll.focus({ preventScroll: true });
  }

  draw() {
    const { group } = this.chat;
    if (group !== this.group) {
      this.group = group;
      this.following = true;
      $("messages").replaceChildren(); // another group's rows have the same keys
    }
    if (!group) return;
    const { channel } = group;
    if (this.following && channel.items.length > KEPT) channel.forget(channel.items.length - KEPT / 2);
    const anchor = this.following ? null : this.#anchor();
    const [from, to] = this.#window(channel.items);
    this.complete = to === channel.items.length;
    show($("messages"), rowsOf(channel, from, to, this.chat));
    show($("pending"), this.#pendingRows(group));
    say($("top"), from > 0 || channel.hasEarlier ? "Earlier messages…" : channel.items.length > 0 ? "This is where it begins." : "");
    if (this.following) {
      this.#toEnd();
      this.seenSeq = channel.last;
      if (channel.items.length > 0 && this.scroll.scrollTop === 0) this.chat.pullEarlier(); // there is room for more
    } else if (anchor) {
      this.scroll.scrollTop += anchor.row.offsetTop - anchor.top;
    }
    this.#drawNewest(channel);
  }

  #toEnd() {
    this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  // The indices of the first item shown and of the one after the last.
  #window(items) {
    if (this.following || items.length === 0) {
      const from = Math.max(0, items.length - ROWS);
      [this.from, this.to] = [items[from]?.seq ?? 0, items.at(-1)?.seq ?? 0];
      return [from, items.length];
    }
    const from = Math.min(indexOf(items, this.from), items.length - 1);
    const to = Math.max(from + 1, Math.min(indexOf(items, this.to + 1), from + ROWS + STEP));
    [this.from, this.to] = [items[from].seq, items[to - 1].seq];
    return [from, to];
  }

  // The first row in sight, and where it stands: it is to stand there again when rows above it came or went.
  #anchor() {
    const { scrollTop } = this.scroll;
    for (const row of $("messages").children) {
      if (row.dataset.seq && row.offsetTop + row.offsetHeight > scrollTop) return { row, top: row.offsetTop };
    }
    return null;
  }

  #scrolled() {
    if (!this.group) return;
    const { scrollTop, scrollHeight, clientHeight } = this.scroll;
    const { items } = this.group.channel;
    const below = scrollHeight - scrollTop - clientHeight;
    const atEnd = below < 40 && this.complete;
    if (atEnd !== this.following) {
      this.following = atEnd;
      this.chat.changed();
    }
    if (scrollTop < NEAR) this.#up(items);
    else if (!atEnd && below < NEAR) this.#down(items);
  }

  #up(items) {
    const from = indexOf(items, this.from);
    if (from > 0) {
      const first = Math.max(0, from - STEP);
      this.following = false;
      this.from = items[first].seq;
      this.to = Math.min(this.to, items[Math.min(items.length, first + ROWS + STEP) - 1].seq);
      this.chat.changed();
    } else this.chat.pullEarlier();
  }

  // An older page has come: it is above what is shown.
  grew(group) {
    if (group === this.group) this.from = 0;
  }

  #down(items) {
    const to = indexOf(items, this.to + 1);
    if (to >= items.length) return;
    const last = Math.min(items.length, to + STEP);
    this.to = items[last - 1].seq;
    this.from = Math.max(this.from, items[Math.max(0, last - ROWS - STEP)].seq);
    this.chat.changed();
  }

  #drawNewest(channel) {
    const fresh = channel.last - this.seenSeq;
    $("newest").hidden = this.following || channel.items.length === 0;
    say($("newest-text"), fresh > 0 ? several(fresh, "new message") : "Newest");
  }

  #pendingRows(group) {
    return Array.from(group.channel.pending.values(), (own) => ({
      key: own.client_id,
      make: () => make("li", "message own pending", make("p", "body", own.body), make("p", "fate")),
      update: (row) => this.#updatePending(row, group, own),
    }));
  }

  #updatePending(row, group, own) {
    row.classList.toggle("failed", own.failed !== null);
    const fate = own.failed ? inWords(own.failed, own.limit) : own.seq === null ? "on its way" : `accepted as #${count(own.seq)}`;
    const shown = row.querySelector(".fate");
    if (shown.dataset.fate === fate) return;
    shown.dataset.fate = fate;
    shown.replaceChildren(own.failed ? `Not sent. ${fate}` : fate);
    if (!own.failed) return;
    const again = make("button", "quiet small", "Send again");
    again.onclick = () => this.chat.sendAgain(group, own);
    const away = make("button", "quiet small", "Discard");
    away.onclick = () => this.chat.giveUp(group, own.client_id);
    shown.append(make("span", "row", again, away));
  }
}

// The first index whose seq is not lower.
function indexOf(items, seq) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

function rowsOf(channel, from, to, { name: me, away }) {
  const rows = [];
  for (let i = from; i < to; i += 1) {
    const [before, message] = [channel.items[i - 1], channel.items[i]];
    const gap = channel.gapBefore(i);
    if (gap) rows.push(gapRow(gap, channel.began, away));
    const newDay = !before || !sameDay(before.at, message.at);
    if (newDay) rows.push(dayRow(message));
    const together = !newDay && !gap && i > from && before.sender === message.sender && message.at - before.at < TOGETHER_MS;
    rows.push(messageRow(message, together, me));
  }
  if (to === channel.items.length && channel.head > channel.last && channel.opened) {
    rows.push(gapRow({ after: channel.last, to: channel.head }, channel.began, away));
  }
  return rows;
}

function dayRow(message) {
  return { key: `d${message.seq}`, make: () => make("li", "day", make("span", "", dayOf(message.at))) };
}

function messageRow(message, together, me) {
  return {
    key: `m${message.seq}`,
    make: () => makeMessage(message, me),
    update: (row) => row.classList.toggle("together", together),
  };
}

function makeMessage(message, me) {
  const own = message.sender === me;
  const row = make("li", own ? "message own" : "message");
  row.classList.toggle("mentions-me", message.mentions?.includes(me) ?? false);
  row.dataset.seq = message.seq;
  const time = make("time", "", timeOf(message.at));
  time.dateTime = new Date(message.at).toISOString();
  const head = make("p", "meta", make("span", "sender", message.sender), own ? make("span", "you", "you") : null, time);
  const side = make("p", "number");
  if (message.filled) {
    row.classList.add("filled");
    const tag = make("span", "tag", "filled");
    tag.title = "Not pushed to this page: a pull brought it";
    side.append(tag);
  }
  side.append(make("span", "seq", `#${count(message.seq)}`));
  row.append(avatar(message.sender), head, make("p", "body", textOf(message.body)), side);
  return row;
}

// What is missing, as long as it is: a shape where the messages will be.
function gapRow(gap, began, away) {
  const missing = gap.to - gap.after;
  const which = missing === 1 ? `#${count(gap.to)}` : `#${count(gap.after + 1)} to #${count(gap.to)}`;
  const loading = gap.to <= began;
  const missed = `${which} ${missing === 1 ? "is" : "are"} missing: pulling`;
  const text = loading ? `Loading ${which}` : away ? `${which} ${missing === 1 ? "is" : "are"} new: pulled when you are back` : missed;
  return {
    key: `g${gap.after}-${gap.to}`,
    make: () => {
      const bones = Array.from({ length: Math.min(3, missing) }, () => make("span", "bone"));
      return make("li", loading ? "gap loading" : "gap", make("span", "gap-text"), ...bones);
    },
    update: (row) => say(row.firstElementChild, text),
  };
}
