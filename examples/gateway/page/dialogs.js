// The two dialogs: something new, and whom to invite. The browser's own: they keep the focus and close with Escape.

import { $, say } from "./dom.js";

const GO = { create: "Create", join: "Join", direct: "Begin" };

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
