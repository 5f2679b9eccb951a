// The list of groups and of servers with their channels: what is new in each, and which one is open.

import { $, avatar, icon, make, say, show } from "./dom.js";
import { drawDot } from "./view-panel.js";
import { STATES, several, textOf, timeOf } from "./words.js";

export function drawGroups(chat, manage) {
  const groups = [...chat.groups.values()].filter((group) => !group.ofServer);
  groups.sort((a, b) => newestAt(b) - newestAt(a) || a.title.localeCompare(b.title));
  const rows = groups.map((group) => ({
    key: group.name,
    make: () => makeGroup(group, chat),
    update: (row) => updateGroup(row.firstElementChild, group, chat),
  }));
  const servers = [...chat.servers.byName.values()].sort((a, b) => a.title.localeCompare(b.title));
  for (const server of servers) rows.push(serverRow(server, manage), ...chat.servers.channels(server).map((channel) => channelRow(channel, chat)));
  if (rows.length === 0) rows.push({ key: "", make: () => make("li", "none soft", "No groups yet.") });
  show($("group-list"), rows);
  const { unread } = chat;
  $("menu-badge").hidden = unread === 0;
  say($("menu-badge"), shortly(unread));
  document.title = `${unread > 0 ? `(${shortly(unread)}) ` : ""}${chat.name} · Linkcast`;
}

const newestAt = (group) => group.newest?.at ?? 0;
const shortly = (unread) => (unread > 99 ? "99+" : String(unread));

function serverRow(server, manage) {
  return {
    key: `server ${server.name}`,
    make: () => {
      const button = make("button", "round quiet", icon("gear"), make("span", "unseen", `Channels and roles of ${server.name}`));
      button.title = "Channels and roles";
      button.onclick = () => manage(server);
      const row = make("li", "server", avatar(server.name, "avatar square"), make("span", "server-name"), button);
      row.dataset.server = server.name;
      return row;
    },
    update: (row) => {
      say(row.querySelector(".server-name"), server.title);
      row.dataset.state = server.state;
    },
  };
}

function channelRow(channel, chat) {
  return {
    key: channel.name,
    make: () => {
      const button = make("button", "group channel");
      button.dataset.group = channel.name;
      button.onclick = () => chat.choose(channel.name);
      button.append(make("span", "channel-icon"), make("span", "group-name"), make("span", "badge"));
      return make("li", "", button);
    },
    update: (row) => {
      const button = row.firstElementChild;
      button.dataset.state = channel.state;
      button.setAttribute("aria-current", String(channel.name === chat.open));
      say(button.querySelector(".group-name"), channel.info?.name || channel.channelId);
      const view = channel.info?.view_mode ?? "public";
      if (button.dataset.view !== view) {
        button.dataset.view = view;
        button.title = view === "private" ? "A private channel: for those on its white list" : "A public channel";
        button.firstElementChild.replaceChildren(icon(view === "private" ? "lock" : "hash"));
      }
      drawBadge(button.querySelector(".badge"), channel);
    },
  };
}

function drawBadge(badge, { unread, mentioned }) {
  badge.hidden = unread === 0 && !mentioned;
  badge.classList.toggle("mentioned", mentioned);
  say(badge, mentioned ? `@ ${unread > 0 ? shortly(unread) : ""}`.trim() : shortly(unread));
  badge.setAttribute("aria-label", `${several(unread, "unread message")}${mentioned ? ", you are mentioned" : ""}`);
}

function makeGroup(group, chat) {
  const button = make("button", "group");
  button.dataset.group = group.name;
  button.onclick = () => chat.choose(group.name);
  const face = make("span", "face", avatar(group.title, group.other ? "avatar" : "avatar square"), group.other ? make("span", "dot") : null);
  const text = make("span", "group-text", make("span", "group-name", group.title), make("span", "group-note"));
  button.append(face, text, make("span", "group-side", make("time"), make("span", "badge")));
  return make("li", "", button);
}

function updateGroup(button, group, chat) {
  button.dataset.state = group.state;
  button.setAttribute("aria-current", String(group.name === chat.open));
  if (group.other) drawDot(button.querySelector(".dot"), chat.hearing.presence.get(group.other));
  say(button.querySelector(".group-note"), noteOf(group, chat));
  say(button.querySelector("time"), group.newest ? timeOf(group.newest.at) : "");
  drawBadge(button.querySelector(".badge"), group);
}

function noteOf(group, chat) {
  if (group.state !== "live") return STATES[group.state];
  const { newest } = group;
  if (newest === null) return group.other ? "direct chat" : "live";
  const who = newest.sender === chat.name ? "you: " : group.other ? "" : `${newest.sender}: `;
  return who + textOf(newest.body).slice(0, 120);
}
