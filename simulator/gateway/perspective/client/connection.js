// The websocket to the gateway: says hello, hands on frames, and comes back by itself when the wire is cut.

const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 2000;
/** The gateway says something every 5 s; a wire that is silent for longer hangs, and what is shown may be old. */
const SILENCE_MS = 12000;

export class Connection {
  /** @param {{url: string, hello: () => object, frame: (object) => void, lost: () => void}} options */
  constructor(options) {
    this.options = options;
    this.delayMs = FIRST_DELAY_MS;
    this.socket = null;
    this.timer = 0;
    this.silence = 0;
    this.ended = false;
    addEventListener("online", () => this.retryNow());
  }

  open() {
    const socket = new WebSocket(this.options.url);
    this.socket = socket;
    this.listen(socket);
    socket.onopen = () => socket.send(JSON.stringify(this.options.hello()));
    socket.onmessage = (message) => {
      if (socket !== this.socket) return;
      this.listen(socket);
      this.delayMs = FIRST_DELAY_MS;
      this.options.frame(JSON.parse(message.data));
    };
    // An error is always followed by a close, so one place suffices.
    socket.onclose = () => this.lose(socket);
  }

  /** Wait for the next sign of life. A socket that hangs would take a minute to close, so it is left behind. */
  listen(socket) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lose(socket), SILENCE_MS);
  }

  lose(socket) {
    if (socket !== this.socket || this.ended) return;
    clearTimeout(this.silence);
    this.socket = null;
    socket.close();
    this.options.lost();
    this.timer = setTimeout(() => this.open(), this.delayMs);
    this.delayMs = Math.min(this.delayMs * 2, LONGEST_DELAY_MS);
  }

  retryNow() {
    if (this.ended || this.socket) return;
    clearTimeout(this.timer);
    this.open();
  }

  /** Send a frame; false when there is no connection. Nothing is kept for later: a click on a page that has
   *  meanwhile changed must not take effect. */
  send(frame) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  /** No further attempts: the session is over. */
  end() {
    this.ended = true;
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.socket?.close();
  }
}
