// Servers: groups of channels and roles. What one is, and who sees the open channel, is asked of the gateway, and asked
// again whenever it says that something changed. No elements here.

import { MAIN, keyOf } from "./words.js";

const AGAIN_MS = 1_000;
// After a hint, pages of a large server do not ask all at once: within as many ms as it has members, at most these.
const SPREAD_MS = 2_000;

class Server {
  constructor(name) {
    this.name = name;
    this.state = "live"; // "live" | "waiting" | "gone"
    this.told = null; // what it is: channels that this person sees, roles, permissions
    this.people = null; // who is online
    this.asking = false;
    this.stale = false; // asked before the last change
    this.timer = 0;
    this.hint = 0; // the timer of a hint that waits
  }

  get title() {
    return this.told?.name || this.name;
  }

  may(permission) {
    return this.told?.me.permissions.includes(permission) ?? false;
  }
}

export class Servers {
  constructor(chat) {
    this.chat = chat;
    this.byName = new Map();
  }

  get(name) {
    return this.byName.get(name);
  }

  // The server of the conversation that is open.
  get open() {
    const { group } = this.chat;
    return group?.ofServer ? this.get(group.id) : undefined;
  }

  // Its channels that this person sees, in the order that the server gives them.
  channels(server) {
    const ofIt = (group) => group.ofServer && group.id === server.name && group.state !== "gone";
    return [...this.chat.groups.values()].filter(ofIt).sort(inOrder);
  }

  // A binding began. A group of one channel tells its head; anything else is a server. Tells whether it is one.
  live({ group, heads }) {
    const names = Object.keys(heads);
    if (!this.byName.has(group) && names.length === 1 && names[0] === MAIN) return false;
    const server = this.get(group) ?? new Server(group);
    this.byName.set(group, server);
    this.chat.groups.delete(group); // it was thought to be a group
    server.state = "live";
    server.asking = false;
    this.refresh(group);
    return true;
  }

  waiting(name) {
    const server = this.get(name);
    if (!server) return;
    server.state = "waiting";
    for (const channel of this.channels(server)) channel.state = "waiting";
  }

  gone(name) {
    const server = this.get(name);
    if (!server) return;
    this.byName.delete(name);
    for (const channel of this.channels(server)) this.#hide(channel);
  }

  lost() {
    for (const server of this.byName.values()) {
      clearTimeout(server.timer);
      clearTimeout(server.hint);
      server.state = "waiting";
      server.hint = 0;
      server.asking = server.stale = false;
      server.people = null;
    }
  }

  people(frame) {
    const server = this.get(frame.group);
    if (server) server.people = frame;
  }

  // The gateway says that something changed.
  heard(name) {
    const server = this.get(name);
    if (!server) return;
    server.hint ||= setTimeout(() => {
      server.hint = 0;
      this.refresh(name);
    }, Math.random() * Math.min(SPREAD_MS, server.told?.members ?? 0));
  }

  // Something changed: ask again. While an answer is on its way, once more after it.
  refresh(name) {
    const server = this.get(name);
    if (!server || server.state !== "live") return;
    server.stale = server.asking;
    if (server.asking) return;
    server.asking = this.chat.tell({ t: "server", group: name });
    if (this.open === server) this.look(this.chat.group);
  }

  take(frame) {
    const server = this.get(frame.group);
    if (!server) return;
    server.asking = false;
    if (frame.error) {
      clearTimeout(server.timer);
      server.timer = setTimeout(() => this.refresh(server.name), AGAIN_MS);
      return;
    }
    server.told = frame;
    const seen = new Map(frame.channels.map((channel, place) => [keyOf(frame.group, channel.channel), { ...channel, place }]));
    for (const channel of this.channels(server)) if (!seen.has(channel.name)) this.#hide(channel);
    for (const [key, info] of seen) this.#show(key, info);
    if (server.stale) this.refresh(server.name);
    if (this.chat.open === server.name) this.choose(server.name);
  }

  // Open a server's first channel, as soon as there is one. Tells whether this names a server.
  choose(name) {
    const server = this.get(name);
    if (!server) return false;
    const [first] = this.channels(server);
    this.chat.open = name;
    if (first) this.chat.choose(first.name);
    return true;
  }

  // This person sees a channel, perhaps since just now.
  #show(key, info) {
    const { chat } = this;
    const channel = chat.groupOf(key);
    channel.info = info;
    if (channel.state !== "live") chat.live(channel, info.head ?? 0);
  }

  // This person does not see it any more. The one that is open stays, and says so.
  #hide(channel) {
    const { chat } = this;
    channel.state = "gone";
    channel.sight = null;
    if (channel.name !== chat.open) chat.groups.delete(channel.name);
  }

  // Somebody looks at a channel: who sees it, and by what. One that is gone is kept for as long as it is looked at.
  look(channel) {
    const { groups } = this.chat;
    for (const other of groups.values()) if (other.ofServer && other.state === "gone" && other !== channel) groups.delete(other.name);
    if (!channel.ofServer || channel.state === "gone") return;
    channel.stale = channel.looking;
    if (channel.looking) return;
    channel.looking = this.chat.tell({ t: "channel", group: channel.id, channel: channel.channelId });
  }

  takeChannel(frame, channel) {
    channel.looking = false;
    if (frame.error) {
      if (frame.error !== "unknown_group") setTimeout(() => this.#lookAgain(channel), AGAIN_MS);
      return;
    }
    channel.sight = frame;
    if (channel.stale) this.look(channel);
  }

  #lookAgain(channel) {
    if (this.chat.group === channel) this.look(channel);
  }

  // --- what the person does

  create(name, people) {
    const { chat } = this;
    const fields = { kind: "server", owner: chat.name, members: [chat.name], name };
    chat.command("create_group", name, fields, () => {
      this.createChannel(name, "general");
      for (const user of people) this.invite(name, user);
      chat.open = name; // its first channel opens as soon as it is there
    });
  }

  invite(server, user) {
    const invite = `i.${crypto.getRandomValues(new Uint32Array(2)).join(".")}`;
    this.chat.command("invite", server, { invite, user }, () => this.chat.note(`${user} is invited.`));
  }

  createChannel(server, channel, { isPrivate = false, role = "" } = {}) {
    const view = isPrivate ? { view_mode: "private", white_roles: role ? [role] : [] } : {};
    this.chat.command("create_channel", server, { channel, name: channel, ...view });
  }
}

const inOrder = (a, b) => (a.info?.place ?? Infinity) - (b.info?.place ?? Infinity) || a.name.localeCompare(b.name);
