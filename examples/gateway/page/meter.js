// Counts by the second, for the last minute; and a line that shows them.

const SECONDS = 60;

export class Meter {
  constructor() {
    this.counts = new Array(SECONDS).fill(0);
    this.second = 0;
  }

  add(count, now) {
    this.#turn(now);
    this.counts[this.second % SECONDS] += count;
  }

  // The last whole seconds, oldest first.
  series(now) {
    this.#turn(now);
    return Array.from({ length: SECONDS - 1 }, (_, i) => this.counts[(this.second + 1 + i) % SECONDS]);
  }

  #turn(now) {
    const second = Math.floor(now / 1_000);
    for (let i = Math.max(this.second + 1, second - SECONDS + 1); i <= second; i += 1) this.counts[i % SECONDS] = 0;
    this.second = Math.max(this.second, second);
  }
}

// The newest samples of something measured now and then.
export class Samples {
  constructor(most) {
    this.most = most;
    this.values = [];
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > this.most) this.values.shift();
  }

  get median() {
    if (this.values.length === 0) return null;
    return [...this.values].sort((a, b) => a - b)[this.values.length >> 1];
  }
}

const [WIDTH, HEIGHT] = [120, 28];

export function spark(svg, values) {
  if (!svg.firstChild) {
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    for (const name of ["area", "line"]) {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.classList.add(name);
      svg.append(path);
    }
  }
  const top = Math.max(1, ...values);
  const step = WIDTH / Math.max(1, values.length - 1);
  const points = values.map((value, i) => `${(i * step).toFixed(1)},${(HEIGHT - 1 - (value / top) * (HEIGHT - 4)).toFixed(1)}`);
  const line = points.length > 0 ? `M${points.join("L")}` : "";
  svg.querySelector(".line").setAttribute("d", line);
  svg.querySelector(".area").setAttribute("d", line && `${line}L${((points.length - 1) * step).toFixed(1)},${HEIGHT}L0,${HEIGHT}Z`);
}
