// The server's events of one container.

import type { LiveState } from "./state";

export interface Listener {
  state(s: LiveState): void;
  log?(lines: string[]): void;
  deleted(): void;
  /** ended says that the server ended it for good: the login or the role is over, or too many pages are open. */
  ended(): void;
}

/** Stream follows a container and comes back by itself after a broken connection, at the log line where it was. */
export class Stream {
  private source: EventSource | null = null;
  private retry = 0;

  constructor(private readonly container: string, private place: string, private readonly listener: Listener,
    private readonly filter = "") {}

  open(): void {
    if (this.source) return;
    const query = new URLSearchParams(this.filter);
    if (this.place) query.set("place", this.place);
    const source = new EventSource(`/containers/ajax/events/${this.container}?${query}`);
    this.source = source;
    source.addEventListener("state", (e) => this.listener.state(JSON.parse(e.data)));
    source.addEventListener("log", (e) => {
      this.place = e.lastEventId;
      this.listener.log?.(JSON.parse(e.data));
    });
    source.addEventListener("deleted", () => {
      this.close();
      this.listener.deleted();
    });
    source.addEventListener("error", () => {
      // The browser itself comes back after a broken connection, but not after an answer that is no stream.
      if (source.readyState === EventSource.CLOSED) void this.refused();
    });
  }

  close(): void {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  private async refused(): Promise<void> {
    this.close();
    let status = 0;
    try {
      status = (await fetch(`/containers/ajax/get-dynamic-details/${this.container}?log_lines=0`)).status;
    } catch {
      // No connection: tried again below.
    }
    if (status >= 400 && status < 500) this.listener.ended();
    else this.retry = window.setTimeout(() => this.open(), 5000);
  }
}
