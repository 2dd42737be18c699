// The details page: state, buttons and log as they change.

import { LogBox } from "./log";
import { apply, live, setText, showProgress, type LiveState } from "./state";
import { Stream } from "./stream";

export function startDetail(root: HTMLElement): void {
  const { container = "", place = "", project = "", lines = "1000", filter = "" } = root.dataset;
  const pre = document.getElementById("log");
  const box = pre && new LogBox(pre, document.getElementById("follow"), Math.max(Number(lines), 1));

  const notice = (text: string) => {
    const el = live(root, "notice");
    if (!el) return;
    el.hidden = false;
    setText(el, text);
  };
  const show = (s: LiveState) => {
    apply(root, s);
    for (const field of root.querySelectorAll<HTMLElement>("[data-field]")) {
      const value = s[field.dataset.field as keyof LiveState];
      setText(field, value === null || value === undefined ? "" : String(value));
    }
    const progress = live(root, "progress");
    if (progress) {
      progress.hidden = !s.ongoing;
      setText(live(progress, "step"), s.step);
      showProgress(progress.querySelector("progress"), s.percent);
    }
  };
  const stream = new Stream(container, place, {
    state: show,
    log: (added) => box?.append(added),
    deleted: () => location.assign(`/containers/${project}`),
    ended: () => notice("This page is no longer kept up to date. Reload it."),
  }, filter);
  stream.open();
  // A browser opens only a few connections to a site, and tabs in the background would use them up.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stream.close();
    else stream.open();
  });
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (e) => { if (e.persisted) stream.open(); });
  rememberLines();
}

function rememberLines(): void {
  const form = document.getElementById("lines") as HTMLFormElement | null;
  const select = document.getElementById("log_lines") as HTMLSelectElement | null;
  form?.addEventListener("change", (e) => {
    if (e.target === select) document.cookie = `log_lines=${select?.value}; Path=/; Max-Age=31536000; SameSite=Lax`;
    if (e.target instanceof HTMLSelectElement) form.submit();
  });
}
