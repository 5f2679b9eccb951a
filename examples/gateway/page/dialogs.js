// The dialogs: something new, whom to invite, a server's channels and roles, the inbox. The browser's own: they keep the
// focus and close with Escape.

import { $, make, say, show } from "./dom.js";
import { ID, noticeInWords, timeOf } from "./words.js";

const GO = { create: "Create", join: "Join", direct: "Begin", server: "Create" };

for (const button of document.querySelectorAll("dialog [data-close]")) {
  button.onclick = () => button.closest("dialog").close();
}

// Calls `done(what, group, people)` when the person decided.
export function openNew(done) {
  const form = $("new-form");
  form.reset();
  settle(form.elements.what.value);
  form.onchange = () => settle(form.elements.what.value);
  form.onsubmit = () => done(form.elements.what.value, $("new-group").value.trim(), $("new-people").value);
  $("new").showModal();
  $("new-group").focus();
}

function settle(what) {
  $("new-group-row").hidden = what === "direct";
  $("new-people-row").hidden = what === "join";
  $("new-group").required = what !== "direct";
  $("new-people").required = what === "direct";
  say($("new-people-label"), what === "direct" ? "With whom (a name)" : "Invite (names, by spaces)");
  say($("new-group-label"), what === "server" ? "Server" : "Group");
  say($("new-go"), GO[what]);
}

// Calls `done(people)` with the names as written.
export function openAsking(done) {
  const form = $("asking-form");
  form.reset();
  form.onsubmit = () => done($("asking-people").value);
  $("asking").showModal();
  $("asking-people").focus();
}

// What others see beside this person's name; and an end to this person's other tabs.
export function openStatus(chat) {
  const form = $("status-form");
  $("status-text").value = chat.hearing.presence.get(chat.name)?.status ?? "";
  form.onsubmit = (event) => chat.tell(event.submitter?.value === "kick" ? { t: "kick" } : { t: "status", status: $("status-text").value.trim() });
  $("status").showModal();
  $("status-text").focus();
}

// --- a server's channels and roles

let managed = null; // the server

export function openManage(chat, server) {
  managed = server;
  for (const form of document.querySelectorAll("#manage form")) form.reset();
  drawManage(chat);
  $("manage").showModal();
}

// Each form is one command. What a person may not do is answered by the pipeline.
export function manageBy(chat) {
  const command = (what, fields, done) => chat.command(what, managed.name, fields, done);
  on("channel-form", ({ channel, mode, role }) => {
    if (ID.test(channel)) chat.servers.createChannel(managed.name, channel, { isPrivate: mode === "private", role });
  });
  on("role-form", ({ role, may }) => {
    if (ID.test(role)) command("create_role", { role, name: role, allow: may === "" ? [] : may.split(" ") });
  });
  on("member-form", ({ role, user }, how) => command(`${how}_role_members`, { role, users: [user] }));
  on("kick-form", ({ user }) => command("remove_members", { users: [user] }));
  on("list-form", ({ channel, which, role }, how) => command("edit_list", { channel, which, [`${how}_roles`]: [role] }));
}

// What a form holds when one of its buttons is pressed, and that button's value.
function on(id, done) {
  $(id).onsubmit = (event) => {
    event.preventDefault();
    done(Object.fromEntries(new FormData(event.target)), event.submitter?.value);
    event.target.querySelector("input")?.select();
  };
}

export function drawManage(chat) {
  if (!managed || !$("manage").open) return;
  say($("manage-title"), `Channels and roles of ${managed.title}`);
  const roles = (managed.told?.roles ?? []).map((role) => role.role);
  const own = roles.filter((role) => role !== "everyone");
  for (const select of document.querySelectorAll("#manage select[name=role]")) {
    fill(select, select.dataset.none ? ["", ...own] : own, select.dataset.none);
  }
  const channels = chat.servers.channels(managed).map((channel) => channel.channelId);
  fill($("list-form").elements.channel, channels);
  const people = (managed.people?.shown ?? []).map((person) => person.user);
  show($("member-names"), people.map((user) => ({ key: user, make: () => Object.assign(make("option"), { value: user }) })));
  const operator = ["manage_channels", "manage_roles"].some((one) => managed.may(one));
  say($("manage-note"), operator ? "" : "You may look, not change: the server refuses what your roles do not allow.");
}

function fill(select, names, none = "") {
  show(select, names.map((name) => ({ key: `o${name}`, make: () => Object.assign(make("option", "", name || none), { value: name }) })));
}

// --- the inbox

export function openInbox(chat) {
  drawInbox(chat);
  $("inbox").showModal();
  chat.inbox.seen();
}

export function drawInbox(chat) {
  const { inbox } = chat;
  $("bell-badge").hidden = inbox.unread === 0;
  say($("bell-badge"), String(inbox.unread));
  if (!$("inbox").open && inbox.notices.length > 0 && $("notices").childElementCount > 0) return;
  const rows = inbox.notices.map((notice) => ({
    key: `n${notice.number}`,
    make: () => make("li", "notice", make("span", "notice-text", noticeInWords(notice)), make("time", "", timeOf(notice.at)), make("span", "row")),
    update: (row) => drawAnswers(row.lastElementChild, notice, chat),
  }));
  if (rows.length === 0) rows.push({ key: "", make: () => make("li", "none soft", "Nothing yet.") });
  show($("notices"), rows);
}

function drawAnswers(place, notice, { inbox, servers }) {
  const open = notice.kind === "invited" && notice.subject && !inbox.answered.has(notice.subject) && !servers.get(notice.group);
  if (Boolean(open) === place.childElementCount > 0) return;
  const button = (text, accept) => {
    const made = make("button", accept ? "small" : "quiet small", text);
    made.onclick = () => inbox.answer(notice, accept);
    return made;
  };
  place.replaceChildren(...(open ? [button("Join", true), button("Decline", false)] : []));
}
