// The list of groups: what is new in each, and which one is open.

import { $, avatar, make, say, show } from "./dom.js";
import { STATES, several, textOf, timeOf } from "./words.js";

export function drawGroups(chat) {
  const groups = [...chat.groups.values()].sort((a, b) => newestAt(b) - newestAt(a) || a.title.localeCompare(b.title));
  const rows = groups.map((group) => ({
    key: group.name,
    make: () => makeGroup(group, chat),
    update: (row) => updateGroup(row.firstElementChild, group, chat),
  }));
  if (rows.length === 0) rows.push({ key: "", make: () => make("li", "none soft", "No groups yet.") });
  show($("group-list"), rows);
  const { unread } = chat;
  $("menu-badge").hidden = unread === 0;
  say($("menu-badge"), shortly(unread));
  document.title = `${unread > 0 ? `(${shortly(unread)}) ` : ""}${chat.name} · Linkcast`;
}

const newestAt = (group) => group.newest?.at ?? 0;
const shortly = (unread) => (unread > 99 ? "99+" : String(unread));

function makeGroup(group, chat) {
  const button = make("button", "group");
  button.dataset.group = group.name;
  button.onclick = () => chat.choose(group.name);
  const face = avatar(group.title, group.other ? "avatar" : "avatar square");
  const text = make("span", "group-text", make("span", "group-name", group.title), make("span", "group-note"));
  button.append(face, text, make("span", "group-side", make("time"), make("span", "badge")));
  return make("li", "", button);
}

function updateGroup(button, group, chat) {
  button.dataset.state = group.state;
  button.setAttribute("aria-current", String(group.name === chat.open));
  say(button.querySelector(".group-note"), noteOf(group, chat));
  say(button.querySelector("time"), group.newest ? timeOf(group.newest.at) : "");
  const badge = button.querySelector(".badge");
  badge.hidden = group.unread === 0;
  say(badge, shortly(group.unread));
  badge.setAttribute("aria-label", several(group.unread, "unread message"));
}

function noteOf(group, chat) {
  if (group.state !== "live") return STATES[group.state];
  const { newest } = group;
  if (newest === null) return group.other ? "direct chat" : "live";
  const who = newest.sender === chat.name ? "you: " : group.other ? "" : `${newest.sender}: `;
  return who + textOf(newest.body).slice(0, 120);
}
