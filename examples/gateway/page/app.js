// The page: one connection to this gateway, groups at the left, one of them open. It needs no build and nobody else's files.

import { Channel, PAGE } from "./channel.js";

const $ = (id) => document.getElementById(id);
const RECONNECT_MS = [300, 1_000, 2_000, 5_000];
const PULL_AGAIN_MS = 700;
const CODES = {
  unknown_group: "There is no such group. Create it first.",
  group_exists: "This group is there already: join it.",
  not_a_member: "You are not a member of this group.",
  message_too_large: "This message is too long.",
  expired: "Not sent: it is too late to try again.",
  unanswered: "Not sent: nobody answered in time.",
  throttled: "Too many messages in a minute. It is sent again soon.",
  clock_ahead: "Not sent: this device's clock is wrong.",
  direct_is_fixed: "The two people of a direct group stay as they are.",
};

const kept = (name, make) => {
  const value = sessionStorage.getItem(name) ?? make();
  if (value) sessionStorage.setItem(name, value);
  return value;
};
const fresh = () => crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

const me = { name: kept("name", () => ""), device: kept("device", () => `tab-${fresh().slice(0, 8)}`) };
const groups = new Map(); // name -> {channel, state: "asked"|"live"|"waiting"|"gone", unread, pulling}
let open = null;
let socket = null;
let tries = 0;
let clockAhead = 0; // this device's clock minus the gateway's
let dropNext = false;
const asked = new Map(); // request -> [what, group]

// --- the connection ---------------------------------------------------------------------------------------------

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/socket`);
  socket.onopen = () => tell({ t: "hello", name: me.name, device: me.device });
  socket.onmessage = (event) => take(JSON.parse(event.data));
  socket.onclose = (event) => closed(event);
}

function closed(event) {
  socket = null;
  for (const group of groups.values()) {
    if (group.state === "live") group.state = "waiting";
    clearTimeout(group.timer);
    group.pulling = false;
  }
  if (event.code === 4400) {
    show("off", event.reason || "not accepted");
    toast(event.reason || "The gateway did not accept this name.");
    return;
  }
  const wait = RECONNECT_MS[Math.min(tries, RECONNECT_MS.length - 1)];
  tries += 1;
  show("wait", `${event.reason || "connection lost"}; connecting again`);
  setTimeout(connect, wait);
  draw();
}

function tell(frame) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}

function ask(what, group) {
  const request = fresh();
  asked.set(request, [what, group]);
  tell({ t: what, group, request });
}

const gatewayNow = () => Date.now() - clockAhead;

// --- what the gateway tells ---------------------------------------------------------------------------------------

const TAKE = {
  hello(frame) {
    tries = 0;
    clockAhead = Date.now() - frame.now;
    $("link").textContent = `link ${frame.link} · epoch ${frame.epoch} · slot ${frame.slot}`;
    showGateways(frame.gateways);
    show("on", "connected");
  },
  live(frame) {
    const group = groupOf(frame.group);
    group.state = "live";
    group.channel.live(frame.heads.main ?? 0);
    if (open === null && matchMedia("(min-width: 721px)").matches) choose(frame.group);
    for (const own of group.channel.pending) own.again_at = 0; // unanswered ones again, now that we can hear
    resend();
    pull(frame.group);
  },
  waiting(frame) {
    groupOf(frame.group).state = "waiting";
  },
  gone(frame) {
    groupOf(frame.group).state = "gone";
  },
  message(frame) {
    if (dropNext) {
      dropNext = $("drop").checked = false;
      toast("Dropped a message. Wait two seconds, or send another.");
      return;
    }
    place(frame, false);
    pull(frame.group);
  },
  head(frame) {
    groupOf(frame.group).channel.heard(frame.seq);
    pull(frame.group);
  },
  pulled(frame) {
    const group = groupOf(frame.group);
    group.pulling = false;
    if (frame.error === "not_live") return; // `live` comes, and pulls
    if (frame.error) {
      group.timer = setTimeout(() => pull(frame.group), PULL_AGAIN_MS);
      return;
    }
    for (const message of frame.messages) place(message, frame.before === null);
    const [gap] = group.channel.gaps();
    if (gap?.after === frame.after) group.timer = setTimeout(() => pull(frame.group), PULL_AGAIN_MS); // it brought nothing
    else pull(frame.group);
  },
  accepted(frame) {
    groupOf(frame.group).channel.accepted(frame.client_id, frame.seq);
  },
  refused(frame) {
    if (frame.client_id) groupOf(frame.group).channel.refused(frame.client_id, frame.code);
    if (frame.request && groups.get(frame.group)?.state === "asked") groups.delete(frame.group);
    asked.delete(frame.request);
    toast(CODES[frame.code] ?? frame.code);
  },
  applied(frame) {
    const [what] = asked.get(frame.request) ?? [];
    asked.delete(frame.request);
    if (what === "create" || what === "join") choose(frame.group);
  },
  error(frame) {
    toast(frame.text);
  },
};

function take(frame) {
  TAKE[frame.t]?.(frame);
  draw();
}

function place(message, pulled) {
  const group = groupOf(message.group);
  const known = group.channel.messages.has(message.seq);
  group.channel.add(message, pulled);
  if (message.sender === me.name && message.device === me.device) group.channel.settle(message.client_id);
  if (!known && message.group !== open) group.unread += 1;
}

// Fill the first gap; the answer to it fills the next one.
function pull(name) {
  const group = groupOf(name);
  const [gap] = group.channel.gaps();
  if (!gap || group.pulling || group.state !== "live") return;
  group.pulling = true;
  tell({ t: "pull", group: name, after: gap.after, limit: Math.min(200, gap.to - gap.after) });
}

function resend() {
  for (const [name, group] of groups) {
    if (group.state !== "live") continue;
    for (const own of group.channel.unanswered(gatewayNow())) {
      tell({ t: "send", group: name, client_id: own.client_id, tried_at: own.tried_at, body: own.body });
    }
  }
}

function groupOf(name) {
  if (!groups.has(name)) groups.set(name, { channel: new Channel(), state: "asked", unread: 0, pulling: false });
  return groups.get(name);
}

// --- what is shown ------------------------------------------------------------------------------------------------

const STATES = { asked: "joining", live: "live", waiting: "catching up", gone: "left" };

let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawGroups();
    drawChat();
  });
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function drawGroups() {
  const items = [...groups].map(([name, group]) => {
    const item = make("li");
    const button = make("button", "group");
    button.dataset.group = name;
    button.setAttribute("aria-current", String(name === open));
    const dot = make("span", "dot");
    dot.dataset.state = group.state;
    button.append(dot, make("span", "group-name", name), make("span", "group-note", STATES[group.state]));
    if (group.unread > 0) {
      const badge = make("span", "badge", group.unread > 99 ? "99+" : String(group.unread));
      badge.setAttribute("aria-label", `${group.unread} unread`);
      button.append(badge);
    }
    button.onclick = () => choose(name);
    item.append(button);
    return item;
  });
  $("group-list").replaceChildren(...(items.length > 0 ? items : [make("li", "none", "None yet: create one, or join one.")]));
}

function drawChat() {
  const group = groups.get(open);
  if (group === undefined) open = null;
  $("chat").hidden = group === undefined;
  $("nothing").hidden = group !== undefined;
  document.body.classList.toggle("chatting", group !== undefined);
  if (group === undefined) return;
  const scroll = $("scroll");
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
  const { channel } = group;
  $("chat-title").textContent = open;
  $("group-state").textContent = `${STATES[group.state]} · up to #${channel.last}`;
  $("earlier").hidden = !(group.state === "live" && channel.first > 1);
  for (const field of $("send").elements) field.disabled = group.state === "gone";
  $("leave").hidden = group.state === "gone";
  sync($("messages"), channel.rows().map((row) => (row.gap ? gapRow(row.gap, channel.began) : messageRow(row.message))));
  sync($("pending"), channel.pending.map(pendingRow));
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
}

// Keep the rows that stay, so that screen readers hear only what is new.
function sync(list, rows) {
  const there = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const wanted = rows.map((row) => there.get(row.dataset.key) ?? row);
  for (const row of there.values()) if (!wanted.includes(row)) row.remove();
  wanted.forEach((row, i) => {
    if (list.children[i] !== row) list.insertBefore(row, list.children[i] ?? null);
  });
}

function messageRow(message) {
  const own = message.sender === me.name;
  const row = make("li", own ? "message own" : "message");
  row.dataset.key = `m${message.seq}`;
  row.dataset.seq = message.seq;
  const meta = make("p", "meta");
  const time = make("time", "", new Date(message.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = new Date(message.at).toISOString();
  meta.append(make("span", "sender", own ? `${message.sender} (you)` : message.sender), time, make("span", "seq", `#${message.seq}`));
  if (message.pulled) {
    const tag = make("span", "tag", "pulled");
    tag.title = "Not pushed to this page: it came with a pull";
    meta.append(tag);
  }
  row.append(meta, make("p", "body", typeof message.body === "string" ? message.body : JSON.stringify(message.body)));
  return row;
}

function gapRow(gap, began) {
  const count = gap.to - gap.after;
  const which = count === 1 ? `#${gap.to}` : `#${gap.after + 1} to #${gap.to}`;
  const text = gap.to <= began ? `Loading ${which}` : `${which} ${count === 1 ? "is" : "are"} missing: pulling`;
  const row = make("li", "gap", text);
  row.dataset.key = `g${gap.after}-${gap.to}-${began}`;
  return row;
}

function pendingRow(own) {
  const state = own.failed ? CODES[own.failed] ?? own.failed : own.seq === null ? "on its way" : `accepted as #${own.seq}`;
  const row = make("li", own.failed ? "message own failed" : "message own pending");
  row.dataset.key = `p${own.client_id}-${state}`;
  row.append(make("p", "meta", state), make("p", "body", own.body));
  return row;
}

function choose(name) {
  open = name;
  groupOf(name).unread = 0;
  draw();
  requestAnimationFrame(() => {
    $("scroll").scrollTop = $("scroll").scrollHeight;
    if (matchMedia("(min-width: 721px)").matches) $("text").focus();
  });
}

function show(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

function showGateways(addresses) {
  const links = addresses.map((address) => {
    const link = make("a", "", address.replace(/^https?:\/\//, ""));
    const here = new URL(address).host === location.host;
    link.href = here ? "#" : address;
    if (here) link.setAttribute("aria-current", "page");
    else {
      link.target = "_blank";
      link.rel = "noopener";
    }
    return link;
  });
  $("gateways").replaceChildren(...links);
}

let toasting;
function toast(text) {
  clearTimeout(toasting);
  $("toast").textContent = text;
  $("toast").hidden = false;
  toasting = setTimeout(() => ($("toast").hidden = true), 5_000);
}

// --- what the person does -----------------------------------------------------------------------------------------

function enter() {
  $("entry").hidden = true;
  $("room").hidden = false;
  $("me").hidden = false;
  $("me").textContent = me.name;
  document.title = `${me.name} · Linkcast`;
  show("wait", "connecting");
  connect();
  draw();
}

$("hello").onsubmit = (event) => {
  event.preventDefault();
  me.name = $("name").value.trim();
  sessionStorage.setItem("name", me.name);
  enter();
};

$("group-form").onsubmit = (event) => {
  event.preventDefault();
  const name = $("group").value.trim();
  $("group").value = "";
  const group = groupOf(name);
  if (group.state === "gone") group.state = "asked";
  ask(event.submitter?.value ?? "create", name);
  draw();
};

$("send").onsubmit = (event) => {
  event.preventDefault();
  const body = $("text").value;
  if (body.trim() === "") return;
  $("text").value = "";
  const { channel, state } = groupOf(open);
  const [client_id, tried_at] = [fresh(), gatewayNow()];
  channel.sent(client_id, body, tried_at);
  if (state === "live") tell({ t: "send", group: open, client_id, tried_at, body });
  draw();
  requestAnimationFrame(() => ($("scroll").scrollTop = $("scroll").scrollHeight));
};

$("earlier").onclick = () => {
  tell({ t: "pull", group: open, before: groupOf(open).channel.first, limit: PAGE });
};
$("leave").onclick = () => ask("leave", open);
$("back").onclick = () => {
  open = null;
  draw();
};
$("drop").onchange = () => (dropNext = $("drop").checked);

setInterval(() => {
  resend();
  draw();
}, 1_000);

if (me.name) enter();
else $("name").focus();
