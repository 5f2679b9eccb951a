// The page: ties the connection, what is known, and what is shown together. It needs no build and nobody else's files.

import { Chat } from "./chat.js";
import { $, avatar, make, say } from "./dom.js";
import { drawInbox, drawManage, manageBy, openAsking, openInbox, openManage, openNew, openStatus } from "./dialogs.js";
import { closeDrawer, drawerIsOpen } from "./drawer.js";
import { Meter, Samples } from "./meter.js";
import { Socket } from "./socket.js";
import { drawGroups } from "./view-groups.js";
import { MessageView } from "./view-chat.js";
import { drawLink, drawPeople, drawRates } from "./view-panel.js";
import { ID, STATES, fresh, inWords, keyOf, namesIn, several, textOf } from "./words.js";

const BURST = 100;
const TYPING_EVERY_MS = 2_000;
const LINE_MS = 2_000; // how long the line is lost on purpose

const kept = (store, name, make) => {
  const value = store.getItem(name) ?? make();
  store.setItem(name, value);
  return value;
};

// Up to where a person has read, kept in this browser.
class Marks {
  constructor(user) {
    this.key = `read ${user}`;
    this.seqs = JSON.parse(localStorage.getItem(this.key) ?? "{}");
  }

  get(group) {
    return this.seqs[group] ?? 0;
  }

  set(group, seq) {
    if (this.seqs[group] === seq) return;
    this.seqs[group] = seq;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.keep(), 300);
  }

  keep() {
    localStorage.setItem(this.key, JSON.stringify(this.seqs));
  }
}

let noting;
const user = new URLSearchParams(location.search).get("user") ?? "";
if (ID.test(user)) enter(user);
else {
  $("name").value = user;
  $("name").focus(); // the form asks for ?user= by itself
}

function enter(name) {
  const meters = { received: new Meter(), written: new Meter(), latency: new Samples(60) };
  const device = kept(sessionStorage, "device", () => `tab-${fresh().slice(0, 8)}`);
  const marks = new Marks(name);
  const chat = new Chat({ name, device, tell: (frame) => socket.tell(frame), changed: draw, opened, note, marks, meters });
  const socket = new Socket({
    hello: () => ({ t: "hello", name, device, was: chat.was, background: chat.away }),
    take(frame) {
      if (frame.t === "hello") {
        socket.welcome();
        showConnection("on", "connected");
        showGateways(frame.gateways);
      }
      chat.take(frame);
      if (frame.t === "message" && chat.looksAt(chat.groupOf(keyOf(frame.group, frame.channel)))) hear(frame);
      if (frame.t === "live" && chat.groups.has(frame.group)) openWanted(frame.group);
      if (frame.t === "server") for (const { channel } of frame.channels ?? []) openWanted(keyOf(frame.group, channel));
      if (frame.t === "pulled" && frame.before !== null) messages.grew(chat.groups.get(keyOf(frame.group, frame.channel)));
    },
    lost(reason) {
      showConnection("wait", `${reason || "connection lost"}; connecting again`);
      chat.lost();
    },
    refused(reason) {
      showConnection("off", reason);
      note(reason);
    },
  });
  const messages = new MessageView(chat);

  $("entry").hidden = true;
  $("room").hidden = false;
  $("me").textContent = name;
  $("me-avatar").replaceWith(Object.assign(avatar(name), { id: "me-avatar" }));

  // --- what is shown

  let drawing = false;
  let awayOnPurpose = false;
  function draw() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      drawHead();
      messages.draw();
      drawGroups(chat, (server) => openManage(chat, server));
      drawPeople(chat);
      drawLink(chat);
      drawMe();
      drawManage(chat);
      drawInbox(chat);
    });
  }

  function drawHead() {
    const { group } = chat;
    for (const id of ["scroll", "send"]) $(id).hidden = !group;
    $("welcome").hidden = chat.groups.size + chat.servers.byName.size > 0;
    $("invite").hidden = !group || group.other !== null || group.state !== "live";
    $("leave").hidden = $("invite").hidden;
    $("rejoin").hidden = group?.state !== "gone" || group.ofServer;
    $("drop").disabled = $("burst").disabled = group?.state !== "live";
    say($("drop"), chat.drop > 0 ? `Loses the next ${chat.drop}` : "Lose the next message");
    $("drop").setAttribute("aria-pressed", String(chat.drop > 0));
    say($("chat-title"), group?.title ?? ($("welcome").hidden ? "Choose a group" : "Welcome"));
    say($("group-state"), group ? headline(group) : "");
    if (!group) return;
    $("text").disabled = group.state === "gone";
    const lost = group.ofServer ? "You do not see this channel any more" : "You are not a member any more";
    $("text").placeholder = group.state === "gone" ? lost : `Message to ${group.title}`;
    const typers = chat.typers(group);
    say($("typing"), typers.length > 0 ? `${typers.slice(0, 3).join(", ")} ${typers.length > 1 ? "are" : "is"} typing…` : "");
  }

  function drawMe() {
    const { status = "" } = chat.hearing.presence.get(name) ?? {};
    say($("my-status"), status || "Set a status");
    $("my-status").classList.toggle("none", status === "");
    $("away").setAttribute("aria-pressed", String(awayOnPurpose));
    say($("away"), awayOnPurpose ? "Come back" : "Go to the background");
  }

  function headline(group) {
    if (chat.away && group.state === "live") return "in the background: notices in place of messages";
    if (group.state !== "live") return group.ofServer && group.state === "gone" ? "not for you any more" : STATES[group.state];
    if (group.ofServer) {
      const { told } = chat.servers.open ?? {};
      const sees = group.sight ? ` · seen by ${several(group.sight.count, "member")}` : "";
      return `${told?.name || group.id}${sees}${group.info?.topic ? ` · ${group.info.topic}` : ""}`;
    }
    const { people } = group;
    if (!people || people.error) return "live";
    return `${several(people.members, "member")} · ${people.online} online on ${several(people.links.length, "link")}`;
  }

  function showConnection(state, text) {
    document.body.dataset.connection = state;
    say($("state"), text);
  }

  function showGateways(addresses) {
    const others = addresses.filter((address) => new URL(address).host !== location.host);
    const links = others.flatMap((address) => {
      const link = make("a", "", address.replace(/^https?:\/\//, ""));
      Object.assign(link, { href: address, target: "_blank", rel: "noopener" });
      return [" ", link];
    });
    $("gateways").replaceChildren("Other gateways, on links of their own:", ...links);
    $("gateways").hidden = others.length === 0;
    const second = make("a", "", "open one");
    Object.assign(second, { href: others[0] ?? "/", target: "_blank", rel: "noopener" });
    $("seconds").replaceChildren(second);
  }

  // Screen readers hear what is new in the open group, not faster than they can say it.
  let heard = [];
  let hearing = 0;
  function hear(message) {
    if (keyOf(message.group, message.channel) !== chat.open || message.sender === name) return;
    heard.push(message);
    hearing ||= setTimeout(() => {
      const [last] = heard.slice(-1);
      say($("heard"), heard.length > 3 ? several(heard.length, "new message") : `${last.sender}: ${textOf(last.body)}`);
      heard = [];
      hearing = 0;
    }, 1_000);
  }

  // --- what the person does

  function opened(group) {
    history.replaceState(null, "", `#${group}`); // ids and a slash: as they are
    closeDrawer();
    if (matchMedia("(min-width: 761px)").matches) $("text").focus();
  }

  // The group named by the address, or else the first one, opens as soon as it is there: unless somebody chooses.
  function openWanted(group) {
    const wanted = location.hash.slice(1); // as it is: names have no other letters than an address may have
    if (chat.open === null && !drawerIsOpen() && (wanted === "" || wanted === group)) chat.choose(group);
  }

  function names(text) {
    const found = namesIn(text);
    const wrong = found.find((one) => !ID.test(one));
    if (wrong !== undefined) note(`“${wrong}” is no name: 1 to 64 letters, digits, and _ . @ -`);
    return wrong === undefined ? found : null;
  }

  function create(group, people) {
    const users = names(people);
    if (users) chat.create(group, users);
  }

  function createServer(name, people) {
    const users = names(people);
    if (users) chat.servers.create(name, users);
  }

  $("first").onsubmit = (event) => {
    event.preventDefault();
    create($("first-group").value.trim(), $("first-people").value);
  };

  $("add").onclick = () =>
    openNew((what, group, people) => {
      if (what === "create") create(group, people);
      else if (what === "server") createServer(group, people);
      else if (what === "join") chat.join(group);
      else for (const other of names(people) ?? []) chat.direct(other);
    });

  $("invite").onclick = () => {
    const { group } = chat;
    openAsking((people) => {
      const users = names(people) ?? [];
      if (group.ofServer) for (const other of users) chat.servers.invite(group.id, other);
      else if (users.length > 0) chat.ask("invite", group.id, { users });
    });
  };

  $("rejoin").onclick = () => chat.join(chat.open);
  $("leave").onclick = () => chat.ask("leave", chat.group.id);
  $("bell").onclick = () => openInbox(chat);
  manageBy(chat);

  const text = $("text");
  const fit = () => {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight, 160)}px`;
  };

  $("send").onsubmit = (event) => {
    event.preventDefault();
    if (text.value.trim() === "" || !chat.group || chat.group.state === "gone") return;
    chat.send(text.value);
    text.value = "";
    fit();
    messages.follow();
    text.focus();
  };

  // A page that nobody sees is in the background; so is one that says so.
  function turn() {
    chat.turn(document.hidden || awayOnPurpose);
    draw();
  }

  let typedAt = 0;
  text.oninput = () => {
    fit();
    if (text.value === "" || performance.now() - typedAt < TYPING_EVERY_MS) return;
    typedAt = performance.now();
    chat.typed();
  };
  text.onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("send").requestSubmit();
  };

  $("drop").onclick = () => {
    chat.drop += 1;
    draw();
  };
  $("burst").onclick = () => {
    const began = new Date().toLocaleTimeString();
    for (let i = 1; i <= BURST; i += 1) chat.send(`${began}: ${i} of ${BURST}`);
    messages.follow();
  };

  $("lose-line").onclick = () => socket.lose(LINE_MS);
  $("away").onclick = () => {
    awayOnPurpose = !awayOnPurpose;
    turn();
  };
  $("my-status").onclick = () => openStatus(chat);
  document.addEventListener("visibilitychange", turn);
  addEventListener("pagehide", () => marks.keep());

  setInterval(() => {
    chat.resend();
    drawRates(meters);
    draw();
  }, 1_000);

  showConnection("wait", "connecting");
  chat.away = document.hidden;
  socket.connect();
  draw();
}

function note(what) {
  clearTimeout(noting);
  say($("toast"), typeof what === "string" ? what : inWords(what.code, what.limit));
  $("toast").hidden = false;
  noting = setTimeout(() => ($("toast").hidden = true), 6_000);
}
