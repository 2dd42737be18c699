// What containers use, as small plots that the server draws.

import { setText } from "./state";

interface Plot {
  key: string;
  value: string;
  note: string;
  line: string;
  area: string;
}

interface Figures {
  every: number; // seconds
  notice: string;
  plots: Plot[];
}

export function startFigures(root: HTMLElement): void {
  const show = (f: Figures) => {
    for (const plot of f.plots) {
      const el = root.querySelector(`[data-plot="${plot.key}"]`);
      if (!el) continue;
      setText(el.querySelector("[data-plot-value]"), plot.value);
      setText(el.querySelector("[data-plot-note]"), plot.note);
      el.querySelector(".line")?.setAttribute("d", plot.line);
      el.querySelector(".area")?.setAttribute("d", plot.area);
    }
    const notice = root.querySelector<HTMLElement>("[data-figures-notice]");
    if (notice) {
      notice.hidden = !f.notice;
      setText(notice, f.notice);
    }
  };
  let every = Number(root.dataset.every) || 15;
  let timer = 0;
  const look = async () => {
    clearTimeout(timer);
    if (document.hidden) return; // until it is shown again
    try {
      const answer = await fetch(root.dataset.figures ?? "");
      if (answer.status >= 400 && answer.status < 500) return;
      if (answer.ok) {
        const f: Figures = await answer.json();
        every = f.every;
        show(f);
      }
    } catch {
      // No connection: tried again.
    }
    timer = window.setTimeout(look, every * 1000);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) void look(); });
  timer = window.setTimeout(look, every * 1000);
}
