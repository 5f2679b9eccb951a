// What this page asks to hear beside what it hears unasked: of what it shows, and whom it shows. The wish is made anew
// from what is shown; only what is new or not wanted any more is told. No elements here.

const nameOf = ({ group, level, channel }) => `${group} ${level} ${channel ?? ""}`;

export class Hearing {
  constructor(chat) {
    this.chat = chat;
    this.joined = new Map(); // group -> what is heard of it unasked, where that is not messages
    this.asked = new Map(); // name -> subscription that the gateway was told of
    this.followed = new Set();
    this.presence = new Map(); // user -> {state, status, version}
  }

  // Another session: nothing is asked for yet.
  reset() {
    this.asked.clear();
    this.followed.clear();
    this.joined.clear();
  }

  take({ users }) {
    for (const told of users) if (told.version >= (this.presence.get(told.user)?.version ?? 0)) this.presence.set(told.user, told);
  }

  heardUnasked(group) {
    return this.joined.get(group) ?? "messages";
  }

  // What is shown is another thing.
  update() {
    const wanted = new Map(this.#wanted().map((one) => [nameOf(one), one]));
    const more = [...wanted].filter(([name]) => !this.asked.has(name)).map(([, one]) => one);
    const less = [...this.asked].filter(([name]) => !wanted.has(name)).map(([, one]) => one);
    if (more.length > 0 && this.chat.tell({ t: "subscribe", subscriptions: more })) for (const one of more) this.asked.set(nameOf(one), one);
    if (less.length > 0 && this.chat.tell({ t: "unsubscribe", subscriptions: less })) for (const one of less) this.asked.delete(nameOf(one));
    this.#follow(this.#shownPeople());
  }

  // Typing and messages of what is open; of the channels beside it, that there is something new.
  #wanted() {
    const wanted = [];
    for (const group of this.chat.groups.values()) {
      if (group.state !== "live" && group.state !== "waiting") continue; // what waits is heard again in a moment
      const { id, channelId: channel } = group;
      const unasked = this.heardUnasked(id);
      if (group.name === this.chat.open) {
        wanted.push({ group: id, level: "typing", channel });
        if (unasked !== "messages") wanted.push({ group: id, level: "messages", channel });
      } else if (unasked === "none") wanted.push({ group: id, level: "unread_count", channel });
    }
    for (const server of this.chat.servers.byName.values()) {
      if (server.state !== "gone" && this.heardUnasked(server.name) === "none") wanted.push({ group: server.name, level: "server" });
    }
    return wanted;
  }

  #follow(users) {
    const more = [...users].filter((user) => !this.followed.has(user));
    const less = [...this.followed].filter((user) => !users.has(user));
    if (more.length > 0 && this.chat.tell({ t: "follow", users: more })) for (const user of more) this.followed.add(user);
    if (less.length > 0 && this.chat.tell({ t: "unfollow", users: less })) for (const user of less) this.followed.delete(user);
  }

  #shownPeople() {
    const users = new Set([this.chat.name]);
    const { group, servers } = this.chat;
    const people = servers.open?.people ?? group?.people;
    for (const { user } of people?.shown ?? []) users.add(user);
    for (const user of group?.sight?.members ?? []) users.add(user);
    for (const { other } of this.chat.groups.values()) if (other) users.add(other);
    return users;
  }
}
