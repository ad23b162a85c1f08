import { report } from "./report";

type Listener = () => void;

const DELAY_MS_MIN = 500;
const DELAY_MS_MAX = 30_000;
const PING_MS = 20_000;
const QUEUE_MAX = 100;

class Live {
  private socket: WebSocket | null = null;
  private attempt = 0;
  private lastSequence = 0;
  private queue: string[] = [];
  private timer: ReturnType<typeof setInterval> | undefined;
  private listeners = new Set<Listener>();

  connect(): void {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/live?since=${this.lastSequence}`);
    this.socket.onopen = () => {
      this.attempt = 0;
      this.timer = setInterval(() => this.send({ type: "ping" }), PING_MS);
      this.queue.splice(0).forEach((text) => this.socket?.send(text));
      this.notify();
    };
    this.socket.onmessage = (event) => {
      try {
        const message = JSON.parse(event.data);
        this.lastSequence = message.sequence;
        this.notify();
      } catch (error) {
        report(error);
      }
    };
    this.socket.onerror = () => report("the live connection failed");
    this.socket.onclose = () => {
      clearInterval(this.timer);
      this.notify();
      this.scheduleReconnect();
    };
  }

  close(): void {
    this.socket?.close();
  }

  send(message: unknown): void {
    const text = JSON.stringify(message);
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send(text);
    } else if (this.queue.length < QUEUE_MAX) {
      this.queue.push(text);
    }
  }

  subscribe = (listener: Listener) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  isConnected = () => this.socket?.readyState === WebSocket.OPEN;

  private scheduleReconnect(): void {
    const delay = Math.min(DELAY_MS_MAX, DELAY_MS_MIN * 2 ** this.attempt) * (0.5 + Math.random() / 2);
    this.attempt += 1;
    setTimeout(() => this.connect(), delay);
  }

  private notify(): void {
    this.listeners.forEach((listener) => listener());
  }
}

export const live = new Live();
