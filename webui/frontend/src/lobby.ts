// The lobby: starts the app, tells what happens, and goes there once it answers.

import { live, setText, showProgress, type LiveState } from "./state";
import { Stream } from "./stream";

const slowAfter = 120_000; // ms
const probeEvery = 1000;
const notReady = [502, 503, 504];

export function startLobby(root: HTMLElement): void {
  new Lobby(root).start();
}

class Lobby {
  private readonly container: string;
  private readonly next: string;
  private stream: Stream | null = null;
  private probing = false;
  private slow = 0;

  constructor(private readonly root: HTMLElement) {
    this.container = root.dataset.container ?? "";
    this.next = root.dataset.next ?? "/";
    this.part("again")?.addEventListener("click", () => this.start());
    addEventListener("pagehide", () => this.stream?.close());
  }

  private part(name: string): HTMLElement | null { return live(this.root, name); }

  async start(): Promise<void> {
    this.stream?.close();
    this.waiting("Container is loading ...", "");
    clearTimeout(this.slow);
    this.slow = window.setTimeout(() => this.toggle("slow", true), slowAfter);
    try {
      const answer = await fetch(`/containers/proxy/lobby/${this.container}`, {
        method: "POST",
        headers: { Accept: "application/json", "X-CSRF-Token": this.root.dataset.csrf ?? "" },
      });
      const body = await answer.json();
      if (!answer.ok) {
        this.stopped(body.message ?? "Container failed to start.");
        return;
      }
      this.show(body);
    } catch {
      this.stopped("Kiosc can't be reached at the moment.");
      return;
    }
    this.stream = new Stream(this.container, "", {
      state: (s) => this.show(s),
      deleted: () => this.stopped("The container was deleted.", false),
      ended: () => this.stopped("You are not logged in any more, or have no access to this container any more. Reload the page."),
    });
    this.stream.open();
  }

  private show(s: LiveState): void {
    setText(this.part("node"), s.node ? `Docker host: ${s.node}` : "");
    if (s.ongoing) {
      this.probing = false;
      const percent = s.percent >= 0 ? ` (${s.percent} %)` : "";
      this.waiting("Container is loading ...", s.step ? s.step + percent : `${s.state_shown} …`);
      showProgress(this.part("bar") as HTMLProgressElement | null, s.percent);
      this.toggle("bar", s.percent >= 0);
    } else if (s.state === "running" && !s.answering) {
      this.probing = false;
      this.waiting("Container is loading ...", "waiting for the app to answer");
      this.toggle("bar", false);
    } else if (s.state === "running") {
      void this.probe();
    } else if (s.state === "failed") {
      this.stopped("Container failed to start.");
      void this.showLog();
    } else {
      this.stopped(s.state === "exited" ? "The app has ended." : `The container is ${s.state_shown}.`);
      void this.showLog();
    }
  }

  /** probe waits until the app behind the proxy answers: a running process need not listen yet. */
  private async probe(): Promise<void> {
    if (this.probing) return;
    this.probing = true;
    this.waiting("Container is loading ...", "waiting for the app to answer");
    this.toggle("bar", false);
    while (this.probing) {
      try {
        const answer = await fetch(this.next, {
          credentials: "same-origin", redirect: "manual", cache: "no-store", headers: { "Kiosc-Probe": "1" },
        });
        void answer.body?.cancel();
        if (this.probing && !notReady.includes(answer.status)) {
          this.stream?.close();
          setText(this.part("headline"), "Container successfully started. Redirecting ...");
          location.replace(this.next);
          return;
        }
      } catch {
        // Not reachable: tried again.
      }
      await new Promise((later) => setTimeout(later, probeEvery));
    }
  }

  private waiting(headline: string, step: string): void {
    setText(this.part("headline"), headline);
    this.part("headline")?.classList.remove("text-danger");
    setText(this.part("step"), step);
    this.toggle("spinner", true);
    this.toggle("again", false);
    this.toggle("log", false);
  }

  private stopped(headline: string, again = true): void {
    this.probing = false;
    clearTimeout(this.slow);
    setText(this.part("headline"), headline);
    this.part("headline")?.classList.add("text-danger");
    setText(this.part("step"), "");
    for (const name of ["spinner", "bar", "slow"]) this.toggle(name, false);
    this.toggle("again", again);
  }

  private async showLog(): Promise<void> {
    const box = this.part("log");
    if (!box) return;
    try {
      const answer = await fetch(`/containers/ajax/get-dynamic-details/${this.container}?log_lines=20`);
      if (!answer.ok) return;
      setText(box, (await answer.json()).logs);
      box.hidden = false;
      box.scrollTop = box.scrollHeight;
    } catch {
      // The headline says enough.
    }
  }

  private toggle(name: string, shown: boolean): void {
    const el = this.part(name);
    if (el) el.hidden = !shown;
  }
}
