// The list of containers: rows whose state is about to change are looked at until it has.

import { apply, type LiveState } from "./state";

const every = 2000; // ms

export function startList(row: HTMLElement): void {
  const look = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(`/containers/ajax/get-dynamic-details/${row.dataset.container}?log_lines=0`);
        if (answer.status === 404) row.remove();
        if (answer.status >= 400 && answer.status < 500) return;
        if (answer.ok) {
          const s: LiveState = await answer.json();
          apply(row, s);
          if (!s.ongoing && s.answering) return;
        }
      } catch {
        // No connection: tried again.
      }
    }
    setTimeout(look, every);
  };
  setTimeout(look, every);
}
