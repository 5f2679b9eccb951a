// One connection to this gateway, made again whenever it is lost. A text frame is one object or a list of them.

const AGAIN_MS = [300, 1_000, 2_000, 5_000];
const BAD_HELLO = 4400;
const TAKEN = 4004;
const ENDED = 4005;
// What this page says when it loses the line on purpose: any code but those of a good-bye.
const LOST = 4100;

const REFUSALS = {
  replaced: "Another tab of yours took this one's place.",
  kicked: "You ended this tab from another one.",
};

export class Socket {
  constructor({ hello, take, lost, refused }) {
    this.hello = hello;
    this.take = take;
    this.lost = lost;
    this.refused = refused;
    this.tries = 0;
    this.socket = null;
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = (this.socket = new WebSocket(`${scheme}://${location.host}/socket`));
    socket.onopen = () => this.tell(this.hello());
    socket.onmessage = (event) => {
      const told = JSON.parse(event.data);
      for (const frame of Array.isArray(told) ? told : [told]) this.take(frame);
    };
    socket.onclose = (event) => this.#closed(event);
  }

  // The gateway knows us.
  welcome() {
    this.tries = 0;
  }

  // False if there is no connection: whoever needs it to arrive tells it again.
  tell(frame) {
    const open = this.socket?.readyState === WebSocket.OPEN;
    if (open) this.socket.send(JSON.stringify(frame));
    return open;
  }

  // As if the line broke: the session waits for a while, and goes on when the page is back.
  lose(ms) {
    this.pause = ms;
    this.socket?.close(LOST);
  }

  #closed(event) {
    this.socket = null;
    if (event.code === BAD_HELLO || event.code === TAKEN || event.code === ENDED) {
      this.refused(REFUSALS[event.reason] ?? (event.reason || "The gateway did not accept this name."));
      return;
    }
    const wait = this.pause ?? AGAIN_MS[Math.min(this.tries, AGAIN_MS.length - 1)];
    this.tries += 1;
    this.pause = undefined;
    setTimeout(() => this.connect(), wait);
    this.lost(event.reason);
  }
}
