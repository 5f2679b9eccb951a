// Beside the messages: who is online on which link, how much comes, and the link of this tab.

import { $, avatar, linkChip, make, roleChip, say, show } from "./dom.js";
import { spark } from "./meter.js";
import { count, several } from "./words.js";

const BUSIEST = 8; // links shown by name

export function drawPeople(chat) {
  const server = chat.servers.open;
  drawServer(chat, server);
  const people = (server ? server.people : chat.group?.people) ?? null;
  drawLinks(people);
  if (server) {
    drawSight(chat, server, people);
    return;
  }
  say($("people-title"), people ? `Online · ${count(people.online)} of ${count(people.members)}` : "Online");
  const rows = [];
  for (const { user, links } of people?.shown ?? []) rows.push(personRow(user, links, chat));
  show($("people"), rows);
  say($("people-note"), noteOf(chat, people));
}

// Who sees the open channel, live: who enters and leaves is seen doing so.
function drawSight(chat, server, people) {
  const { sight, state } = chat.group;
  const links = new Map((people?.shown ?? []).map((person) => [person.user, person.links]));
  say($("people-title"), sight ? `Sees this channel · ${count(sight.count)}` : "Sees this channel");
  const rows = (sight?.members ?? []).map((user) => personRow(user, links.get(user) ?? [], chat, rolesOf(server, user)));
  show($("people"), rows);
  const others = sight ? sight.count - sight.members.length : 0;
  say($("people-note"), state === "gone" ? "You do not see this channel any more." : others > 0 ? `and ${several(others, "more member")}` : "");
}

const rolesOf = (server, user) => {
  const roles = (server.told?.roles ?? []).filter((role) => role.members.includes(user)).map((role) => role.role);
  return server.told?.owner === user ? ["owner", ...roles] : roles;
};

function drawServer(chat, server) {
  $("server-part").hidden = !server?.told;
  if (!server?.told) return;
  const { told } = server;
  const { sight } = chat.group;
  say($("server-title"), `Roles of ${server.title}`);
  const rows = told.roles.filter((role) => role.role !== "everyone").map((role) => ({
    key: role.role,
    make: () => make("li", "role-row", roleChip(role.role, role.name || role.role), make("span", "role-members")),
    update: (row) => {
      row.dataset.role = role.role;
      say(row.querySelector(".role-members"), role.members.length > 0 ? role.members.join(", ") : "nobody");
    },
  }));
  show($("roles"), rows);
  say($("roles-note"), rows.length === 0 ? "No roles yet." : "");
  $("here").hidden = chat.group.state === "gone";
  const may = sight?.permissions ?? told.me.permissions;
  say($("mine"), may.length > 0 ? may.join(", ").replaceAll("_", " ") : "nothing");
  say($("lists"), sight ? listsOf(sight) : "");
  say($("why"), sight ? whyOf(sight) : "");
}

// The words of the rule that decide.
const WHY = { owner: "you are the owner", public: "it is public", white_user: "you are on its white list", white_role: "of your role" };

function whyOf({ words, by }) {
  const [first] = words;
  const text = WHY[first] ?? words.join(", ").replaceAll("_", " ");
  return first !== "owner" && by.length > 0 ? `${text} ${by.join(", ")}` : text;
}

function listsOf({ view_mode: view, lists }) {
  if (lists === null) return view === "private" ? "Private: for those on its white list." : "Public.";
  const list = view === "private" ? lists.white : lists.black;
  const names = [...list.roles.map((role) => `role ${role}`), ...list.users];
  if (view === "private") return `Private: for ${names.length > 0 ? names.join(", ") : "nobody but the owner"}.`;
  return names.length > 0 ? `Public, but not for ${names.join(", ")}.` : "Public: every member sees it.";
}

function noteOf(chat, people) {
  if (!chat.group) return "Choose a group to see who is there.";
  if (people === null) return chat.group.state === "live" ? "Asking who is there…" : "";
  if (people.error) return "The views do not answer just now.";
  const others = people.members - people.shown.length;
  return others > 0 ? `and ${several(others, "more member")}` : "";
}

function drawLinks(people) {
  const links = [...(people?.links ?? [])].sort((a, b) => b.sessions - a.sessions);
  const rows = links.slice(0, BUSIEST).map(({ link, sessions }) => ({
    key: link,
    make: () => {
      const chip = linkChip(link, "");
      chip.setAttribute("role", "listitem");
      return chip;
    },
    update: (chip) => {
      say(chip, `${link} · ${count(sessions)}`);
      chip.title = `${several(sessions, "session")} of this group on link ${link}`;
      chip.style.flexGrow = sessions;
    },
  }));
  show($("by-link"), rows);
}

// What a state of presence is called.
const PRESENCE = { online: "online", background: "in the background", offline: "offline" };

export function drawDot(dot, told) {
  const state = told?.state ?? "unknown";
  if (dot.dataset.state === state) return;
  dot.dataset.state = state;
  dot.title = PRESENCE[state] ?? "";
}

function personRow(user, links, { name: me, hearing }, roles = []) {
  const told = hearing.presence.get(user);
  return {
    key: user,
    make: () => {
      const name = make("span", "person-name", user, user === me ? make("span", "you", "you") : null);
      const face = make("span", "face", avatar(user), make("span", "dot"));
      const text = make("span", "person-text", name, make("span", "person-status"));
      return make("li", "person", face, text, make("span", "person-roles"), make("span", "person-links"));
    },
    update: (row) => {
      row.dataset.online = String(links.length > 0);
      row.dataset.user = user;
      drawDot(row.querySelector(".dot"), told);
      say(row.querySelector(".person-status"), told?.status ?? "");
      const chips = row.querySelector(".person-roles");
      if (chips.dataset.roles !== roles.join()) {
        chips.dataset.roles = roles.join();
        chips.replaceChildren(...roles.map((role) => roleChip(role)));
      }
      const wanted = links.map(([link, sessions]) => (sessions > 1 ? `${link} ×${sessions}` : link));
      const shown = row.querySelector(".person-links");
      if (shown.dataset.links === wanted.join()) return;
      shown.dataset.links = wanted.join();
      shown.replaceChildren(...(links.length > 0 ? links.map(([link], i) => linkChip(link, wanted[i])) : ["offline"]));
    },
  };
}

const OVER = 5; // seconds that a rate is the mean of

function perSecond(series) {
  const rate = series.slice(-OVER).reduce((sum, value) => sum + value, 0) / OVER;
  return `${count(rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate))}/s`;
}

export function drawRates(meters) {
  const now = performance.now();
  for (const [meter, rate, line] of [
    [meters.received, "rate-in", "spark-in"],
    [meters.written, "rate-out", "spark-out"],
  ]) {
    const series = meter.series(now);
    say($(rate), perSecond(series));
    spark($(line), series);
  }
  const { latency } = meters;
  say($("latency"), latency.median === null ? "–" : `${Math.round(latency.median)} ms`);
  spark($("spark-latency"), latency.values);
}

export function drawLink(chat) {
  const { link, pulse } = chat;
  if (link && $("link-name").textContent !== link.link) $("link-name").replaceChildren(linkChip(link.link));
  say($("link-epoch"), link ? count(link.epoch) : "–");
  say($("link-slot"), link ? count(link.slot) : "–");
  say($("link-sessions"), pulse ? count(pulse.sessions) : "–");
  say($("link-lots"), pulse ? count(pulse.lots) : "–");
  say($("link-resyncs"), pulse ? count(pulse.resyncs) : "–");
  say($("link-asked"), count(chat.hearing.asked.size));
  say($("link-notices"), count(chat.notices));
  say($("link-resumes"), chat.resumes === 1 ? "once" : `${count(chat.resumes)} times`);
  say($("link-gaps"), several(chat.gapsFilled, "message"));
}
