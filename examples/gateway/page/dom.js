// Making and keeping elements. Text is only ever set as text: nothing a person wrote is read as HTML.

export const $ = (id) => document.getElementById(id);

export function make(tag, className, ...inside) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...inside.filter((part) => part !== null && part !== undefined));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/page/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Make a list show these rows, in order: [{key, make, update}]. A row that stays is the same element as before.
export function show(list, rows) {
  const there = new Map(Array.from(list.children, (child) => [child.dataset.key, child]));
  const wanted = new Set(rows.map((row) => row.key));
  for (const [key, child] of there) if (!wanted.has(key)) child.remove();
  let next = list.firstElementChild;
  for (const row of rows) {
    let element = there.get(row.key);
    if (element === undefined) {
      element = row.make();
      element.dataset.key = row.key;
    }
    row.update?.(element);
    if (element === next) next = next.nextElementSibling;
    else list.insertBefore(element, next);
  }
}

// A hue of its own for each name.
export function hueOf(name) {
  let hash = 2166136261;
  for (const letter of name) hash = Math.imul(hash ^ letter.codePointAt(0), 16777619);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return ((hash ^ (hash >>> 12)) >>> 0) % 360;
}

export function avatar(name, className = "avatar") {
  const shown = make("span", className, name.slice(0, 2));
  shown.setAttribute("aria-hidden", "true");
  shown.style.setProperty("--hue", hueOf(name));
  return shown;
}

export function roleChip(role, text = role) {
  const chip = make("span", "chip role", text);
  chip.style.setProperty("--hue", hueOf(`role ${role}`));
  chip.dataset.role = role;
  return chip;
}

export function linkChip(name, text = name) {
  const chip = make("span", "chip", text);
  chip.style.setProperty("--hue", hueOf(`link ${name}`));
  chip.dataset.link = name;
  return chip;
}
