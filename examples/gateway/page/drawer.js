// On a narrow screen the side and the panel lie over the chat: one at a time, with what is beneath out of reach.

import { $ } from "./dom.js";

const DRAWERS = [
  { element: $("side"), button: $("menu"), narrow: matchMedia("(max-width: 760px)") },
  { element: $("panel"), button: $("more"), narrow: matchMedia("(max-width: 1100px)") },
];

let open = null;

function settle() {
  for (const drawer of DRAWERS) {
    const shown = drawer === open;
    drawer.element.classList.toggle("open", shown);
    drawer.element.inert = drawer.narrow.matches && !shown;
    drawer.button.setAttribute("aria-expanded", String(shown || !drawer.narrow.matches));
  }
  $("chat").inert = open !== null;
  $("shade").hidden = open === null;
}

export const drawerIsOpen = () => open !== null;

export function closeDrawer() {
  if (open === null) return;
  const { button } = open;
  open = null;
  settle();
  button.focus();
}

for (const drawer of DRAWERS) {
  drawer.button.onclick = () => {
    open = open === drawer ? null : drawer;
    settle();
    if (open) drawer.element.querySelector("button, a")?.focus();
  };
  drawer.narrow.onchange = () => {
    open = null;
    settle();
  };
}
$("shade").onclick = closeDrawer;
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && open) closeDrawer();
});
settle();
